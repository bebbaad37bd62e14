"use server";

import { revalidatePath, updateTag } from "next/cache";

export async function byTag() {
  updateTag("kept");
}

export async function byPath() {
  revalidatePath("/kept");
}
