import type { Metadata } from "next";
import { Presence } from "./presence";

export const metadata: Metadata = { title: "Presence" };

export default function PresencePage() {
  return (
    <>
      <h1>Presence</h1>
      <Presence />
    </>
  );
}
