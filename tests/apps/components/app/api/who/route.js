export const GET = (request) => Response.json({ who: request.cookies.get("who")?.value ?? "nobody" });
