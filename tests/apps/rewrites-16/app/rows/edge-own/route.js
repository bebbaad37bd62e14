export const runtime = "edge";

export const GET = () => Response.json({ at: Date.now() }, { headers: { "cache-control": "public, s-maxage=3600" } });
