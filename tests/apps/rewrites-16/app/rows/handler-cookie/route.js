export const dynamic = "force-static";

/** The build's cookie, for everybody: what no cache may give on. */
export const GET = () => Response.json({ at: Date.now() }, { headers: { "set-cookie": "session=of-the-build" } });
