import { cacheLife, cacheTag } from "next/cache";

async function data() {
  "use cache";
  cacheLife("max");
  cacheTag("cached");
  return Date.now();
}

/** Of `use cache` alone: the same for everybody, until its tag is declared old. */
export default async function Page() {
  return <p>{`made:${await data()};`}</p>;
}
