import Server from "pusher";

/** Pusher's own server library. Doorway tells the app it runs where it is, so that no address is configured twice. */
export function pusher() {
  const { hostname, port } = new URL(process.env.DOORWAY_URL!);
  return new Server({
    appId: "1",
    key: "app-key",
    secret: process.env.PUSHER_SECRET!,
    encryptionMasterKeyBase64: process.env.PUSHER_MASTER_KEY!,
    host: hostname,
    port,
    useTLS: false,
  });
}
