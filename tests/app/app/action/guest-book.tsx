"use client";

import { useActionState } from "react";
import { sign } from "./actions";

export function GuestBook() {
  const [signed, action, pending] = useActionState(sign, undefined);
  return (
    <>
      <form action={action}>
        <input name="name" aria-label="name" required />
        <button disabled={pending}>sign</button>
      </form>
      {signed && (
        <p id="signed">
          {signed.name} signed with {signed.letters} letters
        </p>
      )}
    </>
  );
}
