// The app's own WebSocket: stock Nitro, at the path of its documentation.
export default defineWebSocketHandler({
  open: (peer) => peer.send("nitro is there"),
  message: (peer, message) => peer.send(`nitro heard ${message.text()}`),
});
