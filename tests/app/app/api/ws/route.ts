import { Webhook } from "standardwebhooks";
import { signedIn } from "@/lib/session";

/** Doorway asks here before it lets a client in, and before it passes a message on. */
export async function POST(request: Request) {
  const body = await request.text();
  try {
    new Webhook(process.env.DOORWAY_WEBHOOK_SECRET!).verify(body, Object.fromEntries(request.headers));
  } catch {
    return new Response("not signed by Doorway", { status: 401 });
  }
  const { type, data } = JSON.parse(body);

  if (type === "connect") {
    const name = await signedIn(); // the cookies are those of the page that opened the socket
    const isRoom = data.client.path.startsWith("/api/ws/room-");
    if (isRoom && !name) return Response.json({ allow: false, code: 401, reason: "sign in first" });
    return Response.json(name ? { user: name } : {});
  }
  if (type === "message") {
    if (/\bbuy now\b/i.test(data.text)) return Response.json({ allow: false, reason: "no advertising, please" });
    const text = data.text.replace(/\bdarn\b/gi, "****");
    return Response.json({ replace: { json: { from: data.client.user, text } } });
  }
  return Response.json({});
}
