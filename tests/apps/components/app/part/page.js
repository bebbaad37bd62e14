import { cookies } from "next/headers";
import { Suspense } from "react";

async function Who() {
  return <p>{`who:${(await cookies()).get("who")?.value ?? "nobody"};`}</p>;
}

/** Partial Prerendering: a shell for everybody, with a hole for whoever asks. */
export default function Page() {
  return (
    <>
      <h1>For everybody</h1>
      <Suspense fallback={<p>A moment</p>}>
        <Who />
      </Suspense>
    </>
  );
}
