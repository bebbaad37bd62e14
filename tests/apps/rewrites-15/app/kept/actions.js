"use server";

import { revalidatePath, revalidateTag } from "next/cache";

export async function byTag() {
  revalidateTag("kept", { expire: 0 });
}

export async function byPath() {
  revalidatePath("/kept");
}
