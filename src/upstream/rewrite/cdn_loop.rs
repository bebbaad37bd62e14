//! The mark by which a request is known that comes back to this door: `CDN-Loop` (RFC 8586).

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName};

pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// How often one request may pass this door. An app may well ask itself at its public address, and send on all headers.
const MAX_PASSES: usize = 8;

/// This door's name among all doors: it is another in each process.
pub static NAME: LazyLock<String> = LazyLock::new(|| format!("doorway-{:08x}", fastrand::u32(..)));

/// Whether a request with these headers has passed this door so often that it goes round and round.
pub fn goes_round(headers: &HeaderMap) -> bool {
    let passed = headers.get_all(CDN_LOOP).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    passed.filter(|name| name.trim_ascii() == NAME.as_bytes()).take(MAX_PASSES).count() == MAX_PASSES
}
