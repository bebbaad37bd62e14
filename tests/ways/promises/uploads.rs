//! Promise: an upload over a long way is as fast by HTTP/2 as by HTTP/1.1.

use std::time::Duration;

use ways::Conditions;
use ways::measures::upload;
use ways::visitor::Version;

use crate::Test;
use crate::site::{Site, at_most};

pub const TESTS: &[Test] = &[
    ("uploads::at_40_ms_http2_is_as_fast_as_http1", || as_fast_at(Duration::from_millis(40))),
    ("uploads::at_150_ms_http2_is_as_fast_as_http1", || as_fast_at(Duration::from_millis(150))),
];

/// By HTTP/2 it may take so many times as long.
const LIMIT: f64 = 1.3;

fn as_fast_at(round_trip: Duration) {
    // Nothing is lost in so long a queue: how soon TCP recovers is chance, and no part of this.
    let site = Site::open(Conditions { queue: 16 << 20, ..Conditions::long(round_trip, 100_000_000) }, "");
    let take = |version| site.visit(move |visitor| upload(visitor, version));
    at_most(LIMIT, || (take(Version::Http2), take(Version::Http1)));
}
