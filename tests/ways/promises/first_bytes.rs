//! Promise: the beginning of an answer comes with the first packets of it, not with the last of a large TLS record.

use std::time::Duration;

use ways::Conditions;
use ways::measures::first_bytes;

use crate::Test;
use crate::site::{Site, at_most};

pub const TESTS: &[Test] = &[("first_bytes::of_40_kb_come_in_one_round_trip", of_40_kb_come_in_one_round_trip)];

/// Of round trips; two of them make 2.
const LIMIT: f64 = 1.6;

fn of_40_kb_come_in_one_round_trip() {
    let site = Site::open(Conditions::long(Duration::from_millis(150), 100_000_000), "");
    at_most(LIMIT, || site.visit(first_bytes));
}
