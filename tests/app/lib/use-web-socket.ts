"use client";

import { useCallback, useEffect, useEffectEvent, useRef, useState } from "react";

export type Status = "connecting" | "open" | "offline";

const FIRST_DELAY = 250; // ms before the first try after a loss
const LONGEST_DELAY = 15_000; // ms
const SETTLED = 5_000; // ms a socket must live before the delays start small again
const QUEUE = 100; // messages kept while offline; when full, `send` says no

/**
 * A WebSocket that lasts as long as the component: it reconnects with growing, jittered delays, keeps what is
 * sent while it is offline, and closes on unmount. The address is the page's own origin, or NEXT_PUBLIC_WS_URL.
 */
export function useWebSocket(path: string, onMessage: (text: string) => void) {
  const [status, setStatus] = useState<Status>("connecting");
  const [opened, setOpened] = useState(0);
  const [queued, setQueued] = useState(0);
  const socket = useRef<WebSocket>(null);
  const queue = useRef<string[]>([]);
  const receive = useEffectEvent(onMessage);

  useEffect(() => {
    let failures = 0;
    let retry: number | undefined;
    let settle: number | undefined;
    let unmounted = false;

    function connect() {
      window.clearTimeout(retry);
      setStatus("connecting");
      const ws = new WebSocket(address(path));
      socket.current = ws;

      ws.onopen = () => {
        settle = window.setTimeout(() => (failures = 0), SETTLED);
        for (const text of queue.current.splice(0)) ws.send(text);
        setQueued(0);
        setOpened((times) => times + 1);
        setStatus("open");
      };
      ws.onmessage = (event: MessageEvent<string>) => receive(event.data);
      // An `error` is always followed by a `close`, so this is the one place that tries again.
      ws.onclose = () => {
        window.clearTimeout(settle);
        if (unmounted) return;
        setStatus("offline");
        const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** failures++);
        retry = window.setTimeout(connect, delay * (0.5 + Math.random() / 2));
      };
    }

    function backOnline() {
      if (socket.current?.readyState === WebSocket.CLOSED) connect();
    }

    connect();
    window.addEventListener("online", backOnline);
    return () => {
      unmounted = true;
      window.clearTimeout(retry);
      window.removeEventListener("online", backOnline);
      if (socket.current) closeQuietly(socket.current);
    };
  }, [path]);

  /** Sends now, or as soon as there is a connection. False when too much waits already. */
  const send = useCallback((text: string): boolean => {
    if (socket.current?.readyState === WebSocket.OPEN) {
      socket.current.send(text);
      return true;
    }
    if (queue.current.length >= QUEUE) return false;
    queue.current.push(text);
    setQueued(queue.current.length);
    return true;
  }, []);

  return { status, opened, queued, send };
}

/** Browsers warn of a socket that is closed before it opened: such a one is let open first. */
function closeQuietly(ws: WebSocket) {
  ws.onmessage = null;
  if (ws.readyState === WebSocket.CONNECTING) ws.onopen = () => ws.close(1000);
  else ws.close(1000);
}

function address(path: string): string {
  const base = process.env.NEXT_PUBLIC_WS_URL ?? window.location.origin.replace(/^http/, "ws");
  return new URL(path, base).href;
}
