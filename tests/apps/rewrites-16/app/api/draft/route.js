import { draftMode } from "next/headers";

/** From now on the visitor is shown drafts. */
export async function GET() {
  (await draftMode()).enable();
  return Response.json({ draft: true });
}
