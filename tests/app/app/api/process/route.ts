const started = Date.now();

export const dynamic = "force-dynamic";

/** Which Node process answers, and since when: a test that kills it can see the next one. */
export function GET() {
  return Response.json({ pid: process.pid, started });
}
