"use client";

import type { Member } from "@/lib/room";
import { useRoom } from "@/lib/use-room";
import { announce } from "./actions";

export function Room({ room }: { room: string }) {
  const { said, open, send } = useRoom(room);

  let members: Member[] = [];
  for (const next of said) {
    if (next.type === "presence") members = next.members;
    if (next.type === "join") members = [...members, next.member];
    if (next.type === "leave") members = members.filter(({ id }) => id !== next.member.id);
  }

  return (
    <>
      <p>
        <output id="status">{open ? "open" : "offline"}</output>
        {" · here: "}
        <output id="members">{members.map(({ id }) => id).sort().join(", ")}</output>
      </p>
      <ol className="messages">
        {said.map((next, index) => {
          if (next.type === "broadcast") return <li key={index} data-type="message">{`${next.data.from}: ${next.data.text}`}</li>;
          if (next.type === "join" || next.type === "leave") return <li key={index} data-type="notice">{`${next.member.id}: ${next.type}`}</li>;
          if (next.type === "error") return <li key={index} data-type="error">{next.message}</li>;
          if (next.type === "subscribed" && next.recovered === false) return <li key={index} data-type="notice">earlier messages are gone</li>;
        })}
      </ol>
      <form action={(form) => send(String(form.get("text")))}>
        <input name="text" aria-label="message" autoComplete="off" required />
        <button disabled={!open}>send</button>
      </form>
      <form action={announce.bind(null, room)}>
        <input name="text" aria-label="announcement" autoComplete="off" required />
        <button>announce</button>
      </form>
    </>
  );
}
