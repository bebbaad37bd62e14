import { revalidateTag } from "next/cache";

export const runtime = "edge";

export const GET = (request) => Response.json({ who: request.cookies.get("who")?.value ?? "nobody" });

/** Declares `/kept` old, by its tag. */
export function POST() {
  revalidateTag("kept", { expire: 0 });
  return Response.json({ by: "edge" });
}
