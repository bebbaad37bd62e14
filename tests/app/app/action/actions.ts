"use server";

export type Signed = { name: string; letters: number } | undefined;

export async function sign(_before: Signed, form: FormData): Promise<Signed> {
  const name = String(form.get("name") ?? "").trim();
  return name ? { name, letters: [...name].length } : undefined;
}
