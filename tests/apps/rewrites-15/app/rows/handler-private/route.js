export const GET = (request) => {
  const who = request.cookies.get("who")?.value ?? "nobody";
  const headers = { "cache-control": "public, s-maxage=3600", "set-cookie": `seen=${who}` };
  return Response.json({ who }, { headers });
};
