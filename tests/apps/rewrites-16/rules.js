import { NextResponse } from "next/server";

/** `/FORM/TARGET` shows `/TARGET`; FORM is how the rewrite is written. */
export function rewrite(request) {
  const [, form, target] = request.nextUrl.pathname.match(/^\/(url|clone|string)\/(\w+-target)$/) ?? [];
  switch (form) {
    case "url":
      return NextResponse.rewrite(new URL(`/${target}`, request.url));
    case "string":
      return NextResponse.rewrite(`${request.nextUrl.origin}/${target}`);
    case "clone": {
      const url = request.nextUrl.clone();
      url.pathname = `/${target}`;
      return NextResponse.rewrite(url);
    }
  }
  return NextResponse.next();
}
