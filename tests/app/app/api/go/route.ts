import { NextResponse } from "next/server";

/** Sends the caller on with an absolute address, which names Next's own host unless the door mends it. */
export function GET(request: Request) {
  return NextResponse.redirect(new URL("/moved", request.url), 303);
}
