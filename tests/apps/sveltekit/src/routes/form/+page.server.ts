import type { Actions } from "./$types";

export const actions: Actions = {
  default: async ({ request, url, getClientAddress }) => {
    const name = (await request.formData()).get("name");
    return { signed: `${name} at ${url.origin} from ${getClientAddress()}` };
  },
};
