import type { Metadata } from "next";
import { unstable_cache } from "next/cache";

export const metadata: Metadata = { title: "Kept" };

export const revalidate = 2592000;

const madeAt = unstable_cache(async () => Date.now(), ["kept"], { tags: ["kept"] });

/** Changes only when it is told to: `made` with the page, `data` with its tag. */
export default async function KeptPage() {
  const data = await madeAt();
  return (
    <>
      <h1>Kept until it is declared old</h1>
      <p>
        Made at <time id="made">{`made:${Date.now()};`}</time> of <time id="data">{`data:${data};`}</time>
      </p>
    </>
  );
}
