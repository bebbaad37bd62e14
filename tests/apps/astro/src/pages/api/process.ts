import type { APIRoute } from "astro";

export const GET: APIRoute = ({ url }) => Response.json({ pid: process.pid, url: url.href });
