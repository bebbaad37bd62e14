import { rewrite } from "./rules";

export const proxy = rewrite;
