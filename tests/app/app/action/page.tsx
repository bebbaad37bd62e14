import type { Metadata } from "next";
import { GuestBook } from "./guest-book";

export const metadata: Metadata = { title: "Server Action" };

export default function ActionPage() {
  return (
    <>
      <h1>Server Action</h1>
      <GuestBook />
    </>
  );
}
