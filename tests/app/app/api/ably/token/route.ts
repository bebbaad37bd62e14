import { ably } from "@/lib/ably";
import { signedIn } from "@/lib/session";

/** Who is signed in may be in every channel, as themselves. */
export async function GET() {
  const clientId = await signedIn();
  if (!clientId) return new Response("Sign in first.", { status: 403 });
  return Response.json(await ably().auth.createTokenRequest({ clientId }));
}
