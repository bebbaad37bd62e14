import { createHmac, timingSafeEqual } from "node:crypto";
import { cookies } from "next/headers";

const COOKIE = "session";

/** Who the request is from, by its session cookie. */
export async function signedIn(): Promise<string | undefined> {
  const value = (await cookies()).get(COOKIE)?.value ?? "";
  const name = value.slice(0, value.lastIndexOf("."));
  const [given, due] = [Buffer.from(value), Buffer.from(seal(name))];
  return name && given.length === due.length && timingSafeEqual(given, due) ? name : undefined;
}

export async function startSession(name: string) {
  (await cookies()).set(COOKIE, seal(name), { httpOnly: true, sameSite: "lax", maxAge: 7 * 24 * 3600 });
}

/** The name with a signature, so that nobody can be somebody else by writing a cookie. */
function seal(name: string): string {
  const secret = process.env.SESSION_SECRET;
  if (!secret) throw new Error("SESSION_SECRET is not set");
  return `${name}.${createHmac("sha256", secret).update(name).digest("base64url")}`;
}
