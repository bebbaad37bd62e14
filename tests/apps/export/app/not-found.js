export default function NotFound() {
  return <h1>Nothing is here</h1>;
}
