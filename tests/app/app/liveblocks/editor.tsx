"use client";

import { useRoom } from "@liveblocks/react";
import { getYjsProviderForRoom } from "@liveblocks/yjs";
import { useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { WebsocketProvider } from "y-websocket";
import { Doc, type Text, type YTextEvent } from "yjs";

/** A text that several edit, of the room's Yjs document: by Liveblocks' provider, or by y-websocket's. */
export function Editor({ mayWrite, isBySocket }: { mayWrite: boolean; isBySocket: boolean }) {
  const room = useRoom();
  const [text, setText] = useState<Text>();
  const [value, setValue] = useState("");
  const [status, setStatus] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    const { doc, close } = isBySocket ? bySocket(room.id, setStatus) : byLiveblocks(room, setStatus);
    const shared = doc.getText("text");
    const show = (event: YTextEvent) => {
      const { selectionStart, selectionEnd } = area.current!;
      // At once: what is typed next is compared with what is seen.
      flushSync(() => setValue(shared.toString()));
      if (!event.transaction.local) area.current!.setSelectionRange(moved(selectionStart, event), moved(selectionEnd, event));
    };
    shared.observe(show);
    setText(shared);
    setValue(shared.toString());
    return () => {
      shared.unobserve(show);
      close();
    };
  }, [room, isBySocket]);
  return (
    <p>
      <textarea
        ref={area}
        aria-label="text"
        rows={4}
        value={value}
        readOnly={!mayWrite || !text}
        onChange={({ target }) => text && change(text, target.value)}
      />
      <br />
      <output id="text-status">{status}</output>
    </p>
  );
}

function byLiveblocks(room: NonNullable<ReturnType<typeof useRoom>>, told: (status: string) => void) {
  const provider = getYjsProviderForRoom(room);
  const tell = () => told(provider.getStatus());
  provider.on("status", tell);
  tell();
  return { doc: provider.getYDoc(), close: () => provider.off("status", tell) };
}

function bySocket(room: string, told: (status: string) => void) {
  const url = new URL("/api/ws/yjs", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const provider = new WebsocketProvider(url.href, room, new Doc(), { disableBc: true, maxBackoffTime: 500 });
  provider.on("sync", (isSynced) => told(isSynced ? "synchronized" : "synchronizing"));
  return { doc: provider.doc, close: () => provider.destroy() };
}

/** Makes `text` say `after`, by the one stretch that differs. */
function change(text: Text, after: string) {
  const before = text.toString();
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before[start] === after[start]) start++;
  let end = 0;
  while (end < most - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  text.doc!.transact(() => {
    text.delete(start, before.length - end - start);
    text.insert(start, after.slice(start, after.length - end));
  });
}

/** Where a place in the text is after a change of others. */
function moved(place: number, { delta }: YTextEvent): number {
  let at = 0;
  for (const { retain, insert, delete: deleted } of delta) {
    if (at > place) break;
    if (retain) at += retain;
    else if (deleted) place -= Math.min(deleted, place - at);
    else if (typeof insert === "string" && at < place) [at, place] = [at + insert.length, place + insert.length];
    else if (typeof insert === "string") at += insert.length;
  }
  return place;
}
