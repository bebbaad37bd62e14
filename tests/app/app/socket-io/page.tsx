import type { Metadata } from "next";
import { Chat } from "./chat";

export const metadata: Metadata = { title: "Socket.IO" };

export default function SocketIoPage() {
  return (
    <>
      <h1>Socket.IO</h1>
      <Chat />
    </>
  );
}
