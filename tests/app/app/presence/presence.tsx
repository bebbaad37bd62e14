"use client";

import { useEffect, useRef, useState } from "react";
import type Client from "pusher-js/with-encryption";
import type { Members, Options, PresenceChannel } from "pusher-js/with-encryption";

type Line = { kind: "notice" | "said" | "waved" | "error"; text: string };
type Said = { from: string; text: string };

const CHANNELS = ["presence-hall", "private-office", "private-encrypted-vault", "square"];

/** Pusher's stock client on the page's own origin; `?transport=xhr_polling` is for trying it without WebSockets. */
export function Presence() {
  const [lines, setLines] = useState<Line[]>([]);
  const [status, setStatus] = useState("connecting");
  const [members, setMembers] = useState<string[]>([]);
  const client = useRef<Client>(null);

  const add = (kind: Line["kind"], text: string) => setLines((before) => [...before, { kind, text }].slice(-200));

  useEffect(() => {
    let isOver = false;
    async function connect() {
      // It wants a window, which the server has not.
      const { default: Pusher } = await import("pusher-js/with-encryption");
      if (isOver) return;
      const pusher = new Pusher("app-key", options());
      client.current = pusher;
      pusher.connection.bind("state_change", ({ current }: { current: string }) => setStatus(current));
      pusher.connection.bind("error", ({ data }: { data?: { message: string } }) => add("error", data?.message ?? "no connection"));
      for (const name of CHANNELS) {
        const channel = pusher.subscribe(name);
        channel.bind("pusher:subscription_succeeded", () => add("notice", `in ${name}`));
        channel.bind("pusher:subscription_error", ({ status }: { status: number }) => add("error", `${name}: ${status}`));
        channel.bind("said", ({ from, text }: Said) => add("said", `${name}: ${from}: ${text}`));
        channel.bind("client-wave", (_: unknown, { user_id }: { user_id?: string } = {}) => add("waved", `${name}: ${user_id ?? "somebody"}`));
      }
      const hall = pusher.channel(CHANNELS[0]) as PresenceChannel;
      const count = () => setMembers(names(hall.members));
      hall.bind("pusher:subscription_succeeded", count);
      hall.bind("pusher:member_added", ({ id }: { id: string }) => (count(), add("notice", `${id} comes`)));
      hall.bind("pusher:member_removed", ({ id }: { id: string }) => (count(), add("notice", `${id} goes`)));
    }
    void connect();
    return () => {
      isOver = true;
      client.current?.disconnect();
    };
  }, []);

  async function say(form: FormData) {
    const [channel, text] = [form.get("channel"), form.get("text")];
    const body = JSON.stringify({ channel, text, socket: client.current!.connection.socket_id });
    const answer = await fetch("/api/pusher/say", { method: "POST", body });
    add(answer.ok ? "notice" : "error", answer.ok ? `said in ${channel}` : await answer.text());
  }

  return (
    <>
      <p>
        <output id="status">{status}</output>
        {" · here: "}
        <output id="members">{members.join(", ")}</output>
      </p>
      <form action={say}>
        <select name="channel" aria-label="channel">
          {CHANNELS.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <input name="text" aria-label="message" autoComplete="off" required />
        <button>send</button>
      </form>
      <button onClick={() => client.current?.channel("presence-hall").trigger("client-wave", {})}>wave in the hall</button>
      <button onClick={() => client.current?.channel("private-office").trigger("client-wave", {})}>wave in the office</button>
      <ol className="messages">
        {lines.map(({ kind, text }, index) => (
          <li key={index} data-type={kind}>
            {text}
          </li>
        ))}
      </ol>
    </>
  );
}

function options(): Options {
  const { hostname, port, protocol } = location;
  const place = Number(port) || (protocol === "https:" ? 443 : 80);
  const transports = new URLSearchParams(location.search).getAll("transport");
  return {
    cluster: "x",
    forceTLS: protocol === "https:",
    wsHost: hostname,
    wsPort: place,
    wssPort: place,
    wsPath: "/api/ws",
    httpHost: hostname,
    httpPort: place,
    httpsPort: place,
    httpPath: "/api/ws",
    enabledTransports: (transports.length > 0 ? transports : ["ws", "wss"]) as Options["enabledTransports"],
    channelAuthorization: { endpoint: "/api/pusher/auth", transport: "ajax" },
  };
}

function names(members: Members): string[] {
  const all: string[] = [];
  members.each(({ id }: { id: string }) => all.push(id));
  return all.sort();
}
