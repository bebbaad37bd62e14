import { useEffect, useState, type FormEvent } from "react";
import { stock } from "./stock";
import { useRoom } from "./use-room";

export default function RoomPage() {
  const { said, open, send } = useRoom("lobby");
  const [text, setText] = useState("");
  const [heard, setHeard] = useState<string[]>([]);
  useEffect(() => stock((next) => setHeard((before) => [...before, next])), []);

  const there = new Set<string>();
  for (const it of said) {
    if (it.type === "presence") for (const { id } of it.members) there.add(id);
    if (it.type === "join") there.add(it.member.id);
    if (it.type === "leave") there.delete(it.member.id);
  }
  const say = (event: FormEvent) => {
    event.preventDefault();
    send(text);
  };

  return (
    <main>
      <p>
        <span id="status">{open ? "open" : "closed"}</span>, opened{" "}
        <span id="opened">{said.filter((it) => it.type === "subscribed").length}</span>, members{" "}
        <span id="members">{there.size}</span>
      </p>
      <form onSubmit={say}>
        <input value={text} onChange={(event) => setText(event.target.value)} aria-label="message" />
        <button>send</button>
      </form>
      <ul id="room">
        {said.map((it) => it.type === "broadcast" && <li key={it.id}>{String(it.data)}</li>)}
      </ul>
      <ul id="stock">
        {heard.map((it) => (
          <li key={it}>{it}</li>
        ))}
      </ul>
    </main>
  );
}
