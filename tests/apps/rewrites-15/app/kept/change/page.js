import { byPath, byTag } from "../actions";

export default function ChangePage() {
  return (
    <>
      <form action={byTag}>
        <button>tag</button>
      </form>
      <form action={byPath}>
        <button>path</button>
      </form>
    </>
  );
}
