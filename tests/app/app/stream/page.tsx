import type { Metadata } from "next";
import { connection } from "next/server";
import { Suspense } from "react";
import { setTimeout } from "node:timers/promises";

export const metadata: Metadata = { title: "Stream" };

export default async function StreamPage({ searchParams }: PageProps<"/stream">) {
  const { wait } = await searchParams;
  return (
    <>
      <h1>Stream</h1>
      <p id="shell">The shell is here at once.</p>
      <Suspense fallback={<p id="waiting">The slow part is on its way.</p>}>
        <Slow milliseconds={Math.min(Number(wait ?? 1500) || 0, 30_000)} />
      </Suspense>
    </>
  );
}

async function Slow({ milliseconds }: { milliseconds: number }) {
  await connection();
  await setTimeout(milliseconds);
  return <p id="slow">The slow part came {milliseconds} ms later.</p>;
}
