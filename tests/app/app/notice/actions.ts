"use server";

import { revalidatePath } from "next/cache";
import { hang } from "./board";

export async function say(form: FormData) {
  hang(String(form.get("text")));
  revalidatePath("/notice");
}
