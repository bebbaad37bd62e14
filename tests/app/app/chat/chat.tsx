"use client";

import { useState, type FormEvent } from "react";
import { useWebSocket } from "@/lib/use-web-socket";

/** What the hub says on its plain socket. */
type Said =
  | { type: "echo"; data: string; timestamp: number }
  | { type: "broadcast"; data: string };

const SHOWN = 200;

export function Chat() {
  const [messages, setMessages] = useState<Said[]>([]);
  const [draft, setDraft] = useState("");

  const socket = useWebSocket("/api/ws", (text) => {
    const said = JSON.parse(text) as Said;
    setMessages((before) => [...before, said].slice(-SHOWN));
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    if (draft && socket.send(draft)) setDraft("");
  }

  return (
    <section>
      <p>
        <output id="status">{socket.status}</output>
        {" · opened "}
        <output id="opened">{socket.opened}</output>
        {" times · waiting "}
        <output id="queued">{socket.queued}</output>
      </p>
      <form onSubmit={submit}>
        <input name="message" aria-label="message" value={draft} onChange={(event) => setDraft(event.target.value)} />
        <button>send</button>
      </form>
      <ol className="messages">
        {messages.map((message, index) => (
          <li key={index} data-type={message.type}>
            {message.data}
          </li>
        ))}
      </ol>
    </section>
  );
}
