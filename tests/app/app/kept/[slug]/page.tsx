import type { Metadata } from "next";
import { notFound, redirect } from "next/navigation";

export const metadata: Metadata = { title: "Kept" };

export const revalidate = 2592000;

export function generateStaticParams() {
  return [{ slug: "first" }];
}

/** Made with the build, or when somebody asks for the first time; `none` is not there, `away` leads elsewhere. */
export default async function SlugPage({ params }: { params: Promise<{ slug: string }> }) {
  const { slug } = await params;
  if (slug === "none") notFound();
  if (slug === "away") redirect("/moved");
  return (
    <p>
      {slug} <time id="made">{`made:${Date.now()};`}</time>
    </p>
  );
}
