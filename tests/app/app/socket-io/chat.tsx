"use client";

import { useEffect, useRef, useState, type FormEvent } from "react";
import { io, type Socket } from "socket.io-client";

type Line = { kind: "notice" | "said" | "shown" | "mine"; text: string };

/** A chat with the stock client, on the page's own origin; `?transport=polling` is for trying it by polling alone. */
export function Chat() {
  const [lines, setLines] = useState<Line[]>([]);
  const [status, setStatus] = useState("connecting");
  const [transport, setTransport] = useState("");
  const socket = useRef<Socket>(null);
  const entered = useRef<[name: string, room: string]>(null);

  const add = (kind: Line["kind"], text: string) => setLines((before) => [...before, { kind, text }].slice(-200));

  useEffect(() => {
    const transports = new URLSearchParams(location.search).getAll("transport");
    const client = transports.length > 0 ? io({ transports }) : io();
    socket.current = client;
    client.on("connect", async () => {
      const { engine } = client.io;
      setTransport(engine.transport.name);
      engine.on("upgrade", ({ name }) => setTransport(name));
      // After a short absence the room is still ours, and what was missed comes; after a longer one we are new here.
      if (entered.current && !client.recovered) await client.emitWithAck("enter", ...entered.current);
      setStatus("online");
    });
    client.on("disconnect", (reason) => setStatus(`offline: ${reason}`));
    client.on("notice", (text) => add("notice", text));
    client.on("said", ({ from, text }) => add("said", `${from}: ${text}`));
    client.on("shown", (from, picture: ArrayBuffer) => add("shown", `${from}: ${new Uint8Array(picture)}`));
    return () => void client.disconnect();
  }, []);

  async function enter(form: FormData) {
    const [name, room] = [String(form.get("name")), String(form.get("room"))];
    add("mine", `I am ${await socket.current!.emitWithAck("enter", name, room)}`);
    entered.current = [name, room];
  }

  async function say(form: FormData) {
    const text = String(form.get("message"));
    await socket.current!.emitWithAck("say", text);
    add("mine", text);
  }

  async function show(form: FormData) {
    const picture = await (form.get("picture") as File).arrayBuffer();
    add("mine", `${await socket.current!.emitWithAck("show", picture)} bytes`);
  }

  async function leave() {
    await socket.current!.emitWithAck("leave");
    entered.current = null;
    add("mine", "left");
  }

  const submits = (act: (form: FormData) => Promise<void>) => (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void act(new FormData(event.currentTarget));
  };

  return (
    <section>
      <p>
        <output id="status">{status}</output> by <output id="transport">{transport}</output>
      </p>
      <form onSubmit={submits(enter)}>
        <input name="name" aria-label="name" /> <input name="room" aria-label="room" /> <button>enter</button>
      </form>
      <form onSubmit={submits(say)}>
        <input name="message" aria-label="message" /> <button>send</button>
      </form>
      <form onSubmit={submits(show)}>
        <input name="picture" type="file" aria-label="picture" /> <button>show</button>
      </form>
      <button onClick={() => void leave()}>leave</button>
      <ol className="messages">
        {lines.map(({ kind, text }, index) => (
          <li key={index} data-type={kind}>
            {text}
          </li>
        ))}
      </ol>
    </section>
  );
}
