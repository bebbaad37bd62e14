import type { Metadata } from "next";
import Link from "next/link";
import { say } from "./actions";
import { said } from "./board";
import { Revalidated } from "./revalidated";

export const metadata: Metadata = { title: "Notice" };

export const revalidate = 600;

/** The same for everybody, until somebody says something else. */
export default function NoticePage() {
  return (
    <>
      <h1>Notice</h1>
      <p id="said">{said()}</p>
      <p id="made">{new Date().toISOString()}</p>
      <form action={say}>
        <input name="text" aria-label="text" />
        <button>Say</button>
      </form>
      <Link href="/notice/last">To the last notice</Link>
      <Revalidated />
    </>
  );
}
