"use server";

import { cookies, headers } from "next/headers";

export async function remember(form: FormData) {
  const name = String(form.get("name") ?? "").trim().slice(0, 40);
  if (!name) return;
  // Only whoever ends TLS knows whether the page came by https.
  const secure = (await headers()).get("x-forwarded-proto") === "https";
  (await cookies()).set("name", name, { httpOnly: true, sameSite: "lax", secure, path: "/", maxAge: 24 * 60 * 60 });
}

export async function forget() {
  (await cookies()).delete("name");
}
