import type { Metadata } from "next";
import { cookies } from "next/headers";
import { forget, remember } from "./actions";

export const metadata: Metadata = { title: "Cookies" };

export default async function CookiesPage() {
  const name = (await cookies()).get("name")?.value;
  return (
    <>
      <h1>Cookies</h1>
      <p id="greeting">{name ? `Hello again, ${name}` : "Hello, stranger"}</p>
      <form action={remember}>
        <input name="name" aria-label="name" required maxLength={40} />
        <button>remember me</button>
      </form>
      <form action={forget}>
        <button>forget me</button>
      </form>
    </>
  );
}
