//! Promise: what a client calls urgent (RFC 9218) does not wait for its downloads.

use std::time::Duration;

use ways::Conditions;
use ways::measures::urgent_beside_eight;

use crate::Test;
use crate::site::{Site, at_most};

pub const TESTS: &[Test] =
    &[("urgency::an_urgent_answer_passes_eight_downloads", an_urgent_answer_passes_eight_downloads)];

/// So many times as long as alone. As the ninth of nine it would take more than this.
const LIMIT: f64 = 5.0;

fn an_urgent_answer_passes_eight_downloads() {
    let site = Site::open(Conditions::long(Duration::from_millis(150), 5_000_000), "");
    at_most(LIMIT, || site.visit(urgent_beside_eight));
}
