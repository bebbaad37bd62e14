import { Liveblocks } from "@liveblocks/node";
import { signedIn } from "@/lib/session";

/** Who is signed in may edit every room, or with `?reader` see it only. Doorway tells the app it runs where it is. */
export async function POST(request: Request) {
  const name = await signedIn();
  if (!name) return new Response("Sign in first.", { status: 403 });
  const liveblocks = new Liveblocks({ secret: process.env.LIVEBLOCKS_SECRET_KEY!, baseUrl: process.env.DOORWAY_URL! });
  const session = liveblocks.prepareSession(name, { userInfo: { name } });
  session.allow("*", new URL(request.url).searchParams.has("reader") ? session.READ_ACCESS : session.FULL_ACCESS);
  const { status, body } = await session.authorize();
  return new Response(body, { status });
}
