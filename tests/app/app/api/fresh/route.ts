const etag = '"a-door-is-a-door"';

/** Answers 304 to whoever has it already. */
export function GET(request: Request) {
  const headers = { etag, "cache-control": "no-cache" };
  if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers });
  return new Response("A door is a door.\n", { headers });
}
