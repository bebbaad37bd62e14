import type { Metadata } from "next";
import { byPath, byTag } from "../actions";

export const metadata: Metadata = { title: "Declare it old" };

/** Declares the page beside it old, by Server Actions. */
export default function ChangePage() {
  return (
    <>
      <form action={byTag}>
        <button id="tag">tag</button>
      </form>
      <form action={byPath}>
        <button id="path">path</button>
      </form>
    </>
  );
}
