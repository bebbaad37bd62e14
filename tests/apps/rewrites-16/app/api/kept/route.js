import { revalidatePath, revalidateTag } from "next/cache";

/** Declares `/kept` old: by its path, or by its tag. */
export async function POST(request) {
  const by = new URL(request.url).searchParams.get("by");
  if (by === "path") revalidatePath("/kept");
  else revalidateTag("kept", { expire: 0 });
  return Response.json({ by });
}
