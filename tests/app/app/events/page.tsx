import type { Metadata } from "next";
import { Ticks } from "./ticks";

export const metadata: Metadata = { title: "Server-Sent Events" };

export default function EventsPage() {
  return (
    <>
      <h1>Server-Sent Events</h1>
      <Ticks />
    </>
  );
}
