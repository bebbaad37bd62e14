import { NextResponse, type NextRequest } from "next/server";

/** Runs before every page, as an app's own checks would: marks the answer, and sends one old address on. */
export function proxy(request: NextRequest) {
  if (request.nextUrl.pathname === "/old") {
    return NextResponse.redirect(new URL("/moved", request.url));
  }
  const response = NextResponse.next();
  response.headers.set("x-app-proxy", "seen");
  return response;
}

// Uploads stay outside: Next cuts bodies above 10 MB short on paths that a proxy.ts matches. So do `/kept` and `/notice`: the door keeps
// no page that a proxy.ts may look at first.
export const config = {
  matcher: ["/((?!api/upload|kept|notice|_next/static|_next/image|favicon.ico).*)"],
};
