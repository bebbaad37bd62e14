import { notFound } from "next/navigation";

export const revalidate = 2592000;

export default function Page() {
  notFound();
}
