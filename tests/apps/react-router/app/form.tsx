import { Form, useActionData, type ActionFunctionArgs } from "react-router";

export async function action({ request }: ActionFunctionArgs) {
  const name = (await request.formData()).get("name");
  return { signed: `${name} at ${new URL(request.url).origin}` };
}

export default function Sign() {
  const done = useActionData<typeof action>();
  return (
    <Form method="post">
      <input name="name" aria-label="name" />
      <button>sign</button>
      {done && <p id="signed">{done.signed}</p>}
    </Form>
  );
}
