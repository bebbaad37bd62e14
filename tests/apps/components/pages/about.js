export const getStaticProps = ({ locale }) => ({ props: { locale }, revalidate: 2592000 });

export default function Page({ locale }) {
  return <p>{`about:${locale};`}</p>;
}
