import type { Metadata } from "next";
import Link from "next/link";
import { write } from "../actions";
import { said } from "../board";

export const metadata: Metadata = { title: "Last notice" };

export const revalidate = 600;

/** The same as the notice beside it; who writes here is led there. */
export default function LastNoticePage() {
  return (
    <>
      <h1>Last notice</h1>
      <p id="said">{said()}</p>
      <form action={write}>
        <input name="text" aria-label="words" />
        <button>Write</button>
      </form>
      <Link href="/notice">To the notice</Link>
    </>
  );
}
