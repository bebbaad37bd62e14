import { revalidatePath, revalidateTag } from "next/cache";
import { after } from "next/server";

/** Declares `/kept` old: by its path, or by its tag, at once or `after` the answer. */
export async function POST(request) {
  const by = new URL(request.url).searchParams.get("by");
  const declare = () => (by === "path" ? revalidatePath("/kept") : revalidateTag("kept", { expire: 0 }));
  if (by === "after") after(declare);
  else declare();
  return Response.json({ by });
}
