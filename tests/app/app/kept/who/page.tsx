import type { Metadata } from "next";
import { cookies } from "next/headers";

export const metadata: Metadata = { title: "Who" };

/** Made for each request, as it looks at a cookie. */
export default async function WhoPage() {
  return <p>who:{(await cookies()).get("session")?.value ?? "nobody"};</p>;
}
