import { cookies } from "next/headers";

export default async function Page() {
  const who = (await cookies()).get("who")?.value ?? "nobody";
  return <p>{`who:${who};`}</p>;
}
