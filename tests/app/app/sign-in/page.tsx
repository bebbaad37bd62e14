import { redirect } from "next/navigation";
import { startSession } from "@/lib/session";

export default function SignIn() {
  async function signIn(form: FormData) {
    "use server";
    // A password, a magic link or an identity provider goes here.
    const name = String(form.get("name")).trim().slice(0, 30);
    if (!name) return;
    await startSession(name);
    redirect("/rooms/lobby");
  }

  return (
    <>
      <h1>Sign in</h1>
      <form action={signIn}>
        <input name="name" aria-label="name" maxLength={30} required />
        <button>sign in</button>
      </form>
    </>
  );
}
