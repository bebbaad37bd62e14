export type Member = { id: string; info?: unknown };

/** What the hub says on a socket that was opened with `?since=`. */
export type Said =
  | { type: "subscribed"; id: string; recovered?: boolean }
  | { type: "broadcast"; id: string; time: number; data: { from: string; text: string } }
  | { type: "presence"; members: Member[] }
  | { type: "join" | "update" | "leave"; member: Member }
  | { type: "error"; error: string; message: string };

/** A socket that comes back by itself, and asks for what it missed. */
export function openRoom(room: string, hear: (said: Said) => void, status?: (open: boolean) => void) {
  let ws: WebSocket;
  let since = "start"; // then the position of the last message heard
  let delay = 500; // ms before the next attempt; twice as long each time
  let timer: ReturnType<typeof setTimeout>;

  function connect() {
    ws = new WebSocket(`/api/ws/room-${encodeURIComponent(room)}?since=${since}`);
    ws.onopen = () => {
      delay = 500;
      status?.(true);
    };
    ws.onmessage = (event) => {
      const said = JSON.parse(event.data);
      since = said.id ?? since;
      hear(said);
    };
    ws.onclose = () => {
      status?.(false);
      timer = setTimeout(connect, delay * (0.5 + Math.random()));
      delay = Math.min(delay * 2, 15_000);
    };
  }

  connect();
  return {
    send: (text: string) => ws.send(text),
    close() {
      ws.onclose = null;
      clearTimeout(timer);
      ws.close();
    },
  };
}
