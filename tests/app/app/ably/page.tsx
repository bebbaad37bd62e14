import type { Metadata } from "next";
import { Hall } from "./hall";

export const metadata: Metadata = { title: "Ably" };

export default function AblyPage() {
  return (
    <>
      <h1>Ably</h1>
      <Hall />
    </>
  );
}
