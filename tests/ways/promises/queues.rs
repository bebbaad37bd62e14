//! Promise: what a client asks for next does not wait behind what the kernel was given, and slow clients do not fill it.

use std::time::Duration;

use ways::Conditions;
use ways::measures::{beside_a_download, slow_downloads};

use crate::Test;
use crate::site::{Site, at_most};

pub const TESTS: &[Test] = &[
    ("queues::a_small_answer_passes_a_download", a_small_answer_passes_a_download),
    ("queues::slow_downloads_leave_the_kernel_empty", slow_downloads_leave_the_kernel_empty),
];

const ROUND_TRIP: Duration = Duration::from_millis(150);

/// So many times as long as alone: the download fills a router's queue as well, which is a round trip of its own.
const LIMIT: f64 = 6.0;

fn a_small_answer_passes_a_download() {
    let site = Site::open(Conditions::long(ROUND_TRIP, 5_000_000), "");
    // It keeps the way full all the time, and would keep much more than that in the kernel; CUBIC begins small after a loss.
    let _ = site.way.server.congestion_control("bbr");
    at_most(LIMIT, || site.visit(beside_a_download));
}

const DOWNLOADS: usize = 8;
/// Bytes of kernel memory that a slow download may hold at the door, towards its client and towards the app. What the
/// app's own socket holds, up to 4 MB, is the app's.
const HELD: u64 = 1_000_000;

fn slow_downloads_leave_the_kernel_empty() {
    let site = Site::open(Conditions::long(ROUND_TRIP, 100_000_000), "");
    let downloads = site.visit(|visitor| slow_downloads(visitor, DOWNLOADS));
    site.way.settle();
    let each = site.way.server.held(site.app.address.port()).unwrap() / DOWNLOADS as u64;
    assert!(each < HELD, "{each} bytes of kernel memory a download");
    drop(downloads);
}
