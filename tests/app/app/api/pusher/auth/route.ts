import { pusher } from "@/lib/pusher";
import { signedIn } from "@/lib/session";

/** Who is signed in may enter every channel, as themselves. */
export async function POST(request: Request) {
  const name = await signedIn();
  if (!name) return new Response("Sign in first.", { status: 403 });
  const form = await request.formData();
  const [socket, channel] = [String(form.get("socket_id")), String(form.get("channel_name"))];
  const member = { user_id: name, user_info: { initial: name[0] } };
  return Response.json(pusher().authorizeChannel(socket, channel, channel.startsWith("presence-") ? member : undefined));
}
