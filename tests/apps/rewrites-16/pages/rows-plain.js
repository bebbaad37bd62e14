/** Without data: Next.js says nothing of how long it may be kept. */
export default function Page() {
  return <p>plain</p>;
}
