//! Headers that end at the door: those about one connection, those the door sets itself, and those by which the parts
//! of Next.js talk to each other. An outsider who sends the last kind speaks as Next itself (CVE-2025-29927).

use http::HeaderName;

use crate::upstream::entry::ENTRY;

/// On every callback, and on nothing that comes from outside: see [`crate::callbacks`]. Apps that check nothing else can go by
/// its being there, as long as nobody reaches them but through the door.
pub const CALLBACK: &str = "x-doorway-callback";

/// Sent by Next's own client for the data of a page that it may never show; the app answers `{}` in place of running
/// `getServerSideProps`. Elsewhere a forged one would have it answer so for the page itself, into a shared cache.
const PREFETCH: &str = "x-middleware-prefetch";

/// About this connection, or framing, or set anew for the app.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
    "x-request-id",
    CALLBACK,
];

const OURS_PREFIX: &str = "x-forwarded-";

/// Next's own (16.4, and what older ones had).
const NEXT: &[&str] = &[
    "next-resume",
    "x-action-forwarded",
    "x-matched-path",
    "x-next-cache-tags",
    "x-next-resume-state-length",
    "x-nextjs-data",
    "x-now-route-matches",
];

const NEXT_PREFIXES: &[&str] = &["x-middleware-", REVALIDATE, "x-next-revalidate", "x-invoke-", "x-vercel-"];

/// Has a page made anew, and `-if-generated` with it only one that was made before; with the build's own secret it is the
/// app that speaks.
pub const REVALIDATE: &str = "x-prerender-revalidate";

/// True when a client's header of this name is not sent on, with a request for data of a page (`/_next/data/…`) or for
/// anything else. Names are lower case already.
pub fn is_stripped(name: &HeaderName, is_data: bool) -> bool {
    let name = name.as_str();
    // Most names begin with none of these letters.
    match name.as_bytes()[0] {
        b'x' => {
            name.starts_with(OURS_PREFIX)
                || (NEXT_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !(is_data && name == PREFETCH))
                || NEXT.contains(&name)
                || name == ENTRY.as_str()
                || OURS.contains(&name)
        }
        b'c' | b'e' | b'f' | b'h' | b'k' | b'p' | b't' | b'u' => OURS.contains(&name),
        b'n' => NEXT.contains(&name),
        _ => false,
    }
}

/// Of answers, what Next.js says to itself and its own client does not read (`x-middleware-cache` and `x-middleware-skip`
/// it does): a rewrite's target names the app's private address.
pub fn is_private(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-")
        && !["x-middleware-cache", "x-middleware-skip"].contains(&name)
        && (["x-next-cache-tags", ENTRY.as_str()].contains(&name)
            || PRIVATE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

const PRIVATE_PREFIXES: &[&str] = &["x-middleware-", REVALIDATE, "x-next-revalidate", "x-invoke-"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_letter_shortcut_misses_none() {
        for name in OURS.iter().chain(NEXT).chain(NEXT_PREFIXES).chain([&"x-forwarded-for", &"x-doorway-entry"]) {
            for is_data in [false, true] {
                assert!(is_stripped(&HeaderName::from_static(name), is_data), "{name}");
            }
        }
    }

    #[test]
    fn a_prefetch_is_one_of_data_alone() {
        let prefetch = HeaderName::from_static(PREFETCH);
        assert!(is_stripped(&prefetch, false) && !is_stripped(&prefetch, true));
    }

    #[test]
    fn what_next_must_hear_is_sent_on() {
        for name in [
            "accept",
            "authorization",
            "content-type",
            "cookie",
            "next-action",
            "next-hmr-refresh",
            "next-router-prefetch",
            "next-router-segment-prefetch",
            "next-router-state-tree",
            "next-url",
            "origin",
            "range",
            "rsc",
            "x-deployment-id",
            "x-requested-with",
            "x-custom",
        ] {
            assert!(!is_stripped(&HeaderName::from_static(name), false), "{name}");
        }
    }
}
