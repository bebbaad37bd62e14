import type { Metadata } from "next";
import Link from "next/link";
import type { ReactNode } from "react";
import "./globals.css";

export const metadata: Metadata = {
  title: { default: "Doorway's test app", template: "%s · Doorway's test app" },
  description: "A stock Next.js app, for trying the door in front of it",
};

const pages = ["chat", "rooms/lobby", "socket-io", "presence", "ably", "liveblocks", "stream", "action", "isr", "image", "cookies", "events", "upload", "large"];

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <nav>
          <Link href="/">home</Link>
          {pages.map((page) => (
            <Link key={page} href={`/${page}`}>
              {page}
            </Link>
          ))}
        </nav>
        <main>{children}</main>
      </body>
    </html>
  );
}
