export const getStaticProps = () => ({ props: { made: Date.now() }, revalidate: 2592000 });

/** Changes only when it is told to. */
export default function Page({ made }) {
  return <p>{`made:${made};`}</p>;
}
