export default async function Page({ searchParams }) {
  const { q } = await searchParams;
  return <p>{`q:${q};`}</p>;
}
