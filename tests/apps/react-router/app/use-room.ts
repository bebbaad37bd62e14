"use client";

import { useEffect, useRef, useState } from "react";
import { openRoom, type Said } from "./room";

/** All that was said in a room, from its history on. */
export function useRoom(room: string) {
  const [said, setSaid] = useState<Said[]>([]);
  const [open, setOpen] = useState(false);
  const socket = useRef<ReturnType<typeof openRoom>>(null);

  useEffect(() => {
    setSaid([]);
    socket.current = openRoom(room, (next) => setSaid((before) => [...before, next]), setOpen);
    return () => socket.current?.close();
  }, [room]);

  return { said, open, send: (text: string) => socket.current?.send(text) };
}
