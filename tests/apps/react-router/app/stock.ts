import Pusher from "pusher-js";
import { io } from "socket.io-client";

/** The stock clients on the page's own address: what each hears on "hello". */
export function stock(hear: (text: string) => void) {
  const socket = io();
  socket.on("connect", () => hear("socket.io connected"));
  const isSecure = location.protocol === "https:";
  const port = Number(location.port || (isSecure ? 443 : 80));
  const pusher = new Pusher("app-key", {
    wsHost: location.hostname,
    wsPort: port,
    wssPort: port,
    forceTLS: isSecure,
    enabledTransports: ["ws", "wss"],
    disableStats: true,
    cluster: "",
  });
  pusher.subscribe("hello").bind("said", (data: { text: string }) => hear(`pusher ${data.text}`));
  pusher.connection.bind("connected", () => hear("pusher connected"));
  return () => {
    socket.close();
    pusher.disconnect();
  };
}
