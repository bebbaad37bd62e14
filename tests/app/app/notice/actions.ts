"use server";

import { revalidatePath } from "next/cache";
import { redirect } from "next/navigation";
import { hang } from "./board";

export async function say(form: FormData) {
  hang(String(form.get("text")));
  revalidatePath("/notice");
}

export async function write(form: FormData) {
  hang(String(form.get("text")));
  revalidatePath("/notice");
  revalidatePath("/notice/last");
  redirect("/notice");
}
