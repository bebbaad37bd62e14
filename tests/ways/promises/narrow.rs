//! Promise: on a narrow way, where a question whether the client is there waits behind all that was sent before it, a download
//! goes on; and who vanishes in the middle of one is noticed all the same.

use std::time::Duration;

use ways::Conditions;
use ways::visitor::{Version, some};

use crate::Test;
use crate::site::Site;

pub const TESTS: &[Test] = &[
    ("narrow::a_download_goes_on", a_download_goes_on),
    ("narrow::who_vanishes_in_a_download_is_noticed", who_vanishes_in_a_download_is_noticed),
];

/// Bits a second.
const RATE: u64 = 128_000;
/// What the kernel takes ahead is good for eight times as long as an answer may take.
const CONFIG: &str = "[http]\nh2_ping_interval = \"1s\"\nh2_ping_timeout = \"1s\"\n[compress]\nenabled = false\n";
/// The first question comes too late to be written.
const LATE: &str = "[http]\nh2_ping_interval = \"5s\"\nh2_ping_timeout = \"1s\"\nwrite_timeout = \"10m\"\n\
     [compress]\nenabled = false\n";

fn a_download_goes_on() {
    let site = Site::open(Conditions::long(Duration::from_millis(200), RATE), CONFIG);
    site.visit(|visitor| async move {
        let mut connection = visitor.connect(Version::Http2).await?;
        let mut download = connection.get("/bytes/200000", &[]).await?;
        some(&mut download, 200_000).await
    });
}

/// The socket is full from end to end: no question can be written any more.
fn who_vanishes_in_a_download_is_noticed() {
    let site = Site::open(Conditions::long(Duration::from_millis(200), RATE), LATE);
    let held = site.visit(|visitor| async move {
        let mut connection = visitor.connect(Version::Http2).await?;
        let mut download = connection.get("/bytes/2000000", &[]).await?;
        some(&mut download, 20_000).await?;
        Ok((connection, download))
    });
    site.wait_for_metric("connections_open", 1.0);
    site.way.black_hole(true);
    site.wait_for_metric("connections_open", 0.0);
    drop(held);
}
