import { revalidatePath, revalidateTag } from "next/cache";

/** Declares `/kept` old: by its path, or by its tag at once (`now`) or in a while (`max`). */
export async function POST(request: Request) {
  const by = new URL(request.url).searchParams.get("by");
  if (by === "path") revalidatePath("/kept");
  else revalidateTag("kept", by === "max" ? "max" : { expire: 0 });
  return Response.json({ by });
}
