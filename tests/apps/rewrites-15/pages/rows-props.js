export const getServerSideProps = ({ req }) => ({ props: { who: req.cookies.who ?? "nobody" } });

export default function Page({ who }) {
  return <p>{`who:${who};`}</p>;
}
