import { NextResponse } from "next/server";

/** Runs before everything, as an app's own checks would; and leads one address to the route for callbacks. */
export function proxy(request) {
  if (request.nextUrl.pathname === "/led") return NextResponse.rewrite(new URL("/docs/api/ws", request.url));
  return NextResponse.next();
}
