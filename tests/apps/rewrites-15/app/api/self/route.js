export const dynamic = "force-dynamic";

/** Asks this app at its own public address. */
export async function GET(request) {
  const origin = `${request.headers.get("x-forwarded-proto")}://${request.headers.get("x-forwarded-host")}`;
  try {
    return Response.json(await (await fetch(`${origin}/api/hello`)).json());
  } catch (error) {
    return Response.json({ error: String(error.cause ?? error) }, { status: 500 });
  }
}
