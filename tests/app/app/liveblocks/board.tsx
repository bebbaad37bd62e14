"use client";

import { LiveList } from "@liveblocks/client";
import * as L from "@liveblocks/react";
import { ClientSideSuspense, useStorage } from "@liveblocks/react/suspense";
import { useEffect, useState } from "react";
import { Editor } from "./editor";

declare global {
  interface Liveblocks {
    Presence: { cursor: { x: number; y: number } | null };
    Storage: { items: LiveList<string> };
    UserMeta: { id: string; info: { name: string } };
    RoomEvent: { type: "wave" };
  }
}

type Line = { kind: "notice" | "error"; text: string };

/**
 * Liveblocks' stock client on the page's own origin: by the app's word, or with `?public` by the public key. The text comes
 * by Liveblocks' provider, or with `?socket` by y-websocket's.
 */
export function Board() {
  const [query, setQuery] = useState<URLSearchParams>();
  useEffect(() => setQuery(new URLSearchParams(location.search)), []);
  if (!query) return null;
  const key = query.get("public");
  const auth = key ? { publicApiKey: key } : { authEndpoint: `/api/liveblocks-auth${query.has("reader") ? "?reader" : ""}` };
  const room = query.get("room") ?? "board";
  return (
    <L.LiveblocksProvider baseUrl={location.origin} throttle={16} lostConnectionTimeout={1000} {...auth}>
      <L.RoomProvider id={room} initialPresence={{ cursor: null }} initialStorage={() => ({ items: new LiveList<string>([]) })}>
        <Room isBySocket={query.has("socket")} />
      </L.RoomProvider>
    </L.LiveblocksProvider>
  );
}

function Room({ isBySocket }: { isBySocket: boolean }) {
  const [lines, setLines] = useState<Line[]>([]);
  const [{ cursor: mine }, setPresence] = L.useMyPresence();
  const self = L.useSelf();
  const broadcast = L.useBroadcastEvent();
  const mayWrite = self?.canWrite ?? false;

  const add = (kind: Line["kind"], text: string) => setLines((before) => [...before, { kind, text }].slice(-200));
  L.useEventListener(({ event, user }) => add("notice", `${user?.info?.name ?? "somebody"}: ${event.type}`));
  L.useLostConnectionListener((event) => add("notice", `connection ${event}`));
  L.useErrorListener((error) => add("error", error.message));

  return (
    <div onPointerMove={({ clientX, clientY }) => setPresence({ cursor: { x: Math.round(clientX), y: Math.round(clientY) } })}>
      <p>
        <output id="status">{L.useStatus()}</output>, <output id="sync">{L.useSyncStatus()}</output>
        {" · "}
        <output id="self">{self ? `${self.info?.name ?? "somebody"}, who may ${mayWrite ? "write" : "read"}` : ""}</output>
        {mine && ` at ${mine.x},${mine.y}`}
      </p>
      <p>
        <button onClick={() => broadcast({ type: "wave" })}>wave</button>
      </p>
      <ClientSideSuspense fallback={<p className="loading">The list is on its way.</p>}>
        <List mayWrite={mayWrite} />
      </ClientSideSuspense>
      <Editor mayWrite={mayWrite} isBySocket={isBySocket} />
      <ol className="messages">
        {lines.map(({ kind, text }, index) => (
          <li key={index} data-type={kind}>
            {text}
          </li>
        ))}
      </ol>
      <Cursors />
    </div>
  );
}

/** Shown once the room's storage is there. */
function List({ mayWrite }: { mayWrite: boolean }) {
  const items = useStorage(({ items }) => items);
  const add = L.useMutation(({ storage }, text: string) => storage.get("items").push(text), []);
  const remove = L.useMutation(({ storage }, index: number) => storage.get("items").delete(index), []);
  const [undo, redo] = [L.useUndo(), L.useRedo()];
  return (
    <>
      <form action={(form) => add(String(form.get("text")))}>
        <input name="text" aria-label="item" autoComplete="off" required />
        <button disabled={!mayWrite}>add</button>
      </form>
      <p>
        <button onClick={undo} disabled={!L.useCanUndo()}>
          undo
        </button>{" "}
        <button onClick={redo} disabled={!L.useCanRedo()}>
          redo
        </button>
      </p>
      <ol>
        {items.map((item, index) => (
          <li key={index} data-type="item">
            {item}{" "}
            <button aria-label={`remove ${item}`} onClick={() => remove(index)} disabled={!mayWrite}>
              ×
            </button>
          </li>
        ))}
      </ol>
    </>
  );
}

/** Where the others point. */
function Cursors() {
  return L.useOthers().map(({ connectionId, info, presence: { cursor } }) => (
    <span key={connectionId} className="cursor" data-type="cursor" style={{ left: cursor?.x ?? 0, top: cursor?.y ?? 0 }}>
      {`${info?.name ?? "somebody"}${cursor ? ` at ${cursor.x},${cursor.y}` : ""}`}
    </span>
  ));
}
