import { cacheLife } from "next/cache";
import { cookies } from "next/headers";
import { Suspense } from "react";

async function At() {
  "use cache";
  cacheLife("seconds");
  return <p>{`made:${Date.now()};`}</p>;
}

async function Who() {
  return <p>{`who:${(await cookies()).get("who")?.value ?? "nobody"};`}</p>;
}

/** What is good for less than five minutes is a hole too. */
export default function Page() {
  return (
    <Suspense fallback={<p>A moment</p>}>
      <At />
      <Who />
    </Suspense>
  );
}
