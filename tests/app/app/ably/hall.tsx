"use client";

import { useEffect, useRef, useState } from "react";
import type { ClientOptions, InboundMessage, Realtime, RealtimeChannel } from "ably";

type Line = { kind: "notice" | "error"; text: string };
type Said = { serial: string; from: string; text: string; likes: number };

/** What others like of a message: each counts once. */
const LIKE = "like:flag.v1";

/** Ably's stock client on the page's own origin; `?transport=xhr_polling` is for trying it without WebSockets. */
export function Hall() {
  const [lines, setLines] = useState<Line[]>([]);
  const [said, setSaid] = useState<Said[]>([]);
  const [status, setStatus] = useState("connecting");
  const [transport, setTransport] = useState("");
  const [members, setMembers] = useState<string[]>([]);
  const channel = useRef<RealtimeChannel>(null);
  const me = useRef<string>(undefined);

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
      client.connection.on("connected", () => {
        setTransport(named(client!));
        me.current = client!.auth.clientId;
      });
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

  /** Does something with what this person said last. */
  const actOnLast = (what: string, action: (hall: RealtimeChannel, last: { serial: string }) => Promise<unknown>) =>
    act(what, (hall) => action(hall, { serial: said.findLast(({ from }) => from === me.current)!.serial }));

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
        <button formAction={(form) => actOnLast("edited", (hall, last) => hall.updateMessage({ ...last, data: form.get("text") }))}>
          edit my last
        </button>
        <button formAction={(form) => actOnLast("added", (hall, last) => hall.appendMessage({ ...last, data: form.get("text") }))}>
          add to my last
        </button>
      </form>
      <button onClick={() => actOnLast("taken back", (hall, last) => hall.deleteMessage(last))}>take back my last</button>
      <ol className="messages">
        {said.map(({ serial, from, text, likes }) => (
          <li key={serial} data-type="said" onDoubleClick={() => act("liked", (hall) => hall.annotations.publish(serial, { type: LIKE }))}>
            {`${from}: ${text}${likes > 0 ? ` (liked by ${likes})` : ""}`}
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

/** The list with what `message` says in its place: serials sort as messages were said, and stay when they change. */
function merged(before: Said[], { action, serial, clientId, data, annotations }: InboundMessage): Said[] {
  const known = before.find((one) => one.serial === serial);
  const others = before.filter((one) => one !== known);
  if (action === "message.delete") return others;
  const summary = annotations?.summary[LIKE] as { total: number } | undefined;
  const said = {
    serial: serial!,
    from: known?.from ?? clientId ?? "somebody",
    text: action === "message.summary" ? (known?.text ?? "") : action === "message.append" ? (known?.text ?? "") + data : String(data),
    likes: summary?.total ?? known?.likes ?? 0,
  };
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
