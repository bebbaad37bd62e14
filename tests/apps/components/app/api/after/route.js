import { revalidateTag } from "next/cache";
import { after } from "next/server";

/** Declares old what has the tag, once it has answered. */
export function POST() {
  after(() => revalidateTag("cached", { expire: 0 }));
  return Response.json({ after: true });
}
