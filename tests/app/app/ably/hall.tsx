"use client";

import { useEffect, useRef, useState } from "react";
import type { ClientOptions, InboundMessage, Realtime, RealtimeChannel } from "ably";

type Line = { kind: "notice" | "error"; text: string };
type Said = { serial: string; from: string; text: string };

/** Ably's stock client on the page's own origin; `?transport=xhr_polling` is for trying it without WebSockets. */
export function Hall() {
  const [lines, setLines] = useState<Line[]>([]);
  const [said, setSaid] = useState<Said[]>([]);
  const [status, setStatus] = useState("connecting");
  const [transport, setTransport] = useState("");
  const [members, setMembers] = useState<string[]>([]);
  const channel = useRef<RealtimeChannel>(null);

  const add = (kind: Line["kind"], text: string) => setLines((before) => [...before, { kind, text }].slice(-200));

  useEffect(() => {
    let client: Realtime | undefined;
    let isOver = false;
    async function connect() {
      // It wants a window, which the server has not.
      const { default: Ably } = await import("ably");
      if (isOver) return;
      client = new Ably.Realtime(options());
      client.connection.on(({ current, reason }) => {
        setStatus(current);
        if (current === "failed") add("error", String(reason?.message));
      });
      client.connection.on("connected", () => setTransport(named(client!)));
      const hall = client.channels.get("hall");
      channel.current = hall;
      await hall.subscribe((message) => setSaid((before) => merged(before, message)));
      // What was said before it came in, and nothing of it twice.
      const past = await hall.history({ untilAttach: true, limit: 50 });
      setSaid((before) => [...past.items].reverse().reduce(merged, before));
      const count = async () => setMembers([...new Set((await hall.presence.get()).map(({ clientId }) => clientId))].sort());
      await hall.presence.subscribe(({ action, clientId }) => {
        void count();
        if (action === "enter" || action === "leave") add("notice", `${clientId} ${action === "enter" ? "comes" : "goes"}`);
      });
      await hall.presence.enter();
      await count();
      add("notice", "in the hall");
    }
    connect().catch((error) => isOver || add("error", String(error)));
    return () => {
      isOver = true;
      client?.close();
    };
  }, []);

  /** Does something with the channel, and says when it is done. */
  async function act(what: string, action: (hall: RealtimeChannel) => Promise<unknown>) {
    try {
      await action(channel.current!);
      add("notice", what);
    } catch (error) {
      add("error", String(error));
    }
  }

  return (
    <>
      <p>
        <output id="status">{status}</output> by <output id="transport">{transport}</output>
        {" · here: "}
        <output id="members">{members.join(", ")}</output>
      </p>
      <form action={(form) => act("sent", (hall) => hall.publish("said", String(form.get("text"))))}>
        <input name="text" aria-label="message" autoComplete="off" required />
        <button>send</button>
      </form>
      <ol className="messages">
        {said.map(({ serial, from, text }) => (
          <li key={serial} data-type="said">
            {`${from}: ${text}`}
          </li>
        ))}
      </ol>
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

/** The list with `message` in its place: serials sort as messages were said. */
function merged(before: Said[], { serial, clientId, data }: InboundMessage): Said[] {
  const said = { serial: serial!, from: clientId ?? "somebody", text: String(data) };
  const others = before.filter((known) => known.serial !== said.serial);
  return [...others, said].sort((one, other) => (one.serial < other.serial ? -1 : 1)).slice(-200);
}

/** The transport that a client came by; the library has it on its own insides only. */
function named(client: Realtime): string {
  type Insides = { connectionManager?: { activeProtocol?: { getTransport(): { shortName: string } } } };
  return (client.connection as Insides).connectionManager?.activeProtocol?.getTransport().shortName ?? "";
}

function options(): ClientOptions {
  const isSecure = location.protocol === "https:";
  const port = Number(location.port) || (isSecure ? 443 : 80);
  const transports = new URLSearchParams(location.search).getAll("transport");
  return {
    endpoint: location.hostname,
    port,
    tlsPort: port,
    tls: isSecure,
    authUrl: "/api/ably/token",
    // The library has a type for the names, and no name for the type.
    ...(transports.length > 0 && { transports: transports as ClientOptions["transports"] }),
  };
}
