import type { LoaderFunctionArgs } from "react-router";

export const loader = ({ request }: LoaderFunctionArgs) => Response.json({ pid: process.pid, url: request.url });
