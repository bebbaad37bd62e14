export const GET = ({ url }) => Response.json({ pid: process.pid, url: url.href });
