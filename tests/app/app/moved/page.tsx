export default function MovedPage() {
  return <h1>It is here now</h1>;
}
