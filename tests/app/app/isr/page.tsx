import type { Metadata } from "next";

export const metadata: Metadata = { title: "ISR" };

export const revalidate = 2;

export default function IsrPage() {
  return (
    <>
      <h1>Incremental static regeneration</h1>
      <p>
        Made at <time id="made">{new Date().toISOString()}</time>, good for {revalidate} seconds.
      </p>
    </>
  );
}
