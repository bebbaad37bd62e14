import { Link } from "react-router";

export default function Home() {
  return (
    <main>
      <h1>React Router</h1>
      <Link to="/room">room</Link>
    </main>
  );
}
