export const getServerSideProps = () => ({ props: {} });

export default function Page() {
  return <h1>pages target</h1>;
}
