/** Any page: says which one it is, and how often it was rendered. */
export default function Page(props) {
  return <pre id="props">{JSON.stringify(props)}</pre>;
}

let count = 0;

export const getServerSideProps = ({ params, locale, query: { path: _, ...query } }) => ({
  props: { path: params.path ?? [], locale, query, count: ++count },
});
