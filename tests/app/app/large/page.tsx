import type { Metadata } from "next";
import { connection } from "next/server";

export const metadata: Metadata = { title: "Large" };

/** About a quarter of a megabyte of markup that compresses well, made anew for every request. */
export default async function LargePage() {
  await connection();
  return (
    <>
      <h1>Large</h1>
      <ol>
        {Array.from({ length: 2000 }, (_, line) => (
          <li key={line}>Line {line}: whoever is at the door is let in, one after the other.</li>
        ))}
      </ol>
    </>
  );
}
