import type { Metadata } from "next";

export const metadata: Metadata = { title: "Kept by a rule" };

export const revalidate = 2592000;

/** A rule of next.config sends who has the cookie `beta` elsewhere. */
export default function RulePage() {
  return <h1>For everybody else</h1>;
}
