export const dynamic = "force-dynamic";

export default function Page() {
  return <h1>app target</h1>;
}
