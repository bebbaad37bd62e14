import type { Metadata } from "next";
import { Board } from "./board";

export const metadata: Metadata = { title: "Liveblocks" };

export default function LiveblocksPage() {
  return (
    <>
      <h1>Liveblocks</h1>
      <Board />
    </>
  );
}
