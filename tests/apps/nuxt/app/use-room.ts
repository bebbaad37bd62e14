// use-room.ts, with Vue
import { onScopeDispose, ref, shallowRef } from "vue";
import { openRoom, type Said } from "./room";

export function useRoom(room: string) {
  const said = shallowRef<Said[]>([]);
  const open = ref(false);
  const socket = openRoom(room, (next) => (said.value = [...said.value, next]), (now) => (open.value = now));
  onScopeDispose(socket.close);
  return { said, open, send: socket.send };
}
