"use server";

import { signedIn } from "@/lib/session";

/** Says something in a room on the house's behalf: one `fetch` to Doorway, from wherever code runs on the server. */
export async function announce(room: string, form: FormData) {
  if (!(await signedIn())) return;
  const answer = await fetch(`${process.env.DOORWAY_URL}/publish`, {
    method: "POST",
    headers: { authorization: `Bearer ${process.env.DOORWAY_TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ channel: `room-${room}`, json: { from: "the house", text: form.get("text") } }),
  });
  if (!answer.ok) throw new Error(`Doorway did not publish: ${await answer.text()}`);
}
