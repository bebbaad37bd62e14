import { unstable_cache } from "next/cache";

export const revalidate = 2592000;

const madeAt = unstable_cache(async () => Date.now(), ["kept"], { tags: ["kept"] });

/** Changes only when it is told to: `made` with the page, `data` with its tag. */
export default async function KeptPage() {
  const data = await madeAt();
  return <p>{`made:${Date.now()};data:${data};`}</p>;
}
