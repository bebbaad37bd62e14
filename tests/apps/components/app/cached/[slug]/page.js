import { cacheLife, cacheTag } from "next/cache";

export const generateStaticParams = () => [{ slug: "known" }];

async function data(slug) {
  "use cache";
  cacheLife("max");
  cacheTag("cached");
  return `${slug}:${Date.now()}`;
}

/** One that the build does not know is a shell at first, and a whole page later. */
export default async function Page({ params }) {
  const { slug } = await params;
  return <p>{`made:${await data(slug)};`}</p>;
}
