import Link from "next/link";

export default function Page() {
  return ["url", "clone", "string"].map((form) => (
    <p key={form}>
      <Link href={`/${form}/pages-target`}>{form}</Link>
    </p>
  ));
}
