import { createHash } from "node:crypto";

/** Reads the body as it comes, keeping none of it, and says what arrived. */
export async function POST(request: Request) {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of request.body ?? []) {
    hash.update(chunk);
    size += chunk.byteLength;
  }
  return Response.json({ size, sha256: hash.digest("hex") });
}

export { POST as PUT };
