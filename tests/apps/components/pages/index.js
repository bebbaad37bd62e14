export const getStaticProps = ({ locale }) => ({ props: { locale }, revalidate: 2592000 });

/** Which language it is in Next.js chooses by who asks. */
export default function Page({ locale }) {
  return <p>{`home:${locale};`}</p>;
}
