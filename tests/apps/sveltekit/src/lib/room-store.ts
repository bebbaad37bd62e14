// room-store.ts, with Svelte
import { readable } from "svelte/store";
import { openRoom, type Said } from "./room";

export function roomStore(room: string) {
  let socket: ReturnType<typeof openRoom> | undefined;
  const { subscribe } = readable<Said[]>([], (set, update) => {
    set([]);
    socket = openRoom(room, (next) => update((before) => [...before, next]));
    return socket.close;
  });
  return { subscribe, send: (text: string) => socket?.send(text) };
}
