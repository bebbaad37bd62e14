import { rewrite } from "./rules";

export const middleware = rewrite;
