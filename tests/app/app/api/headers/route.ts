/** What reached the app: its method, target and headers, as Node and Next saw them. */
export function GET(request: Request) {
  const { pathname, search } = new URL(request.url);
  return Response.json({
    method: request.method,
    url: request.url,
    target: pathname + search,
    headers: Object.fromEntries(request.headers),
  });
}

export { GET as POST, GET as PUT, GET as PATCH, GET as DELETE };
