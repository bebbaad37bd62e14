import { pusher } from "@/lib/pusher";
import { signedIn } from "@/lib/session";

/** Says it in a channel, to all but the one who asked. */
export async function POST(request: Request) {
  const from = await signedIn();
  if (!from) return new Response("Sign in first.", { status: 403 });
  const { channel, text, socket } = await request.json();
  await pusher().trigger(channel, "said", { from, text }, { socket_id: socket });
  return Response.json({});
}
