import { Counter } from "./counter";

export default function Home() {
  return (
    <>
      <h1>Behind the door</h1>
      <p>A stock Next.js app with no server of its own. Its sockets end in Doorway, at /api/ws.</p>
      <Counter />
    </>
  );
}
