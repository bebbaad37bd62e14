//! Promise: on a narrow way, where a question whether the client is there waits behind all that was sent before it, a download
//! goes on; and who vanishes in the middle of one is noticed all the same. What waits there is little, so that a small answer
//! (and a socket's ping) comes while it is of use.

use std::time::{Duration, Instant};

use ways::Conditions;
use ways::visitor::{Version, some, whole};

use crate::Test;
use crate::site::{Site, at_most};

pub const TESTS: &[Test] = &[
    ("narrow::a_download_goes_on", a_download_goes_on),
    ("narrow::who_vanishes_in_a_download_is_noticed", who_vanishes_in_a_download_is_noticed),
    ("narrow::a_small_answer_comes_soon", a_small_answer_comes_soon),
];

/// Bits a second.
const RATE: u64 = 128_000;
/// What the kernel takes ahead is good for eight times as long as an answer may take.
const CONFIG: &str = "[http]\nh2_ping_interval = \"1s\"\nh2_ping_timeout = \"1s\"\nwrite_timeout = \"10m\"\n\
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
    let site = Site::open(Conditions::long(Duration::from_millis(200), RATE), CONFIG);
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

/// So many times as long as alone. With 192 KB before it, it would take more than twice that.
const LIMIT: f64 = 25.0;

fn a_small_answer_comes_soon() {
    let conditions = Conditions { queue: 8 * 1024, ..Conditions::long(Duration::from_millis(200), RATE / 2) };
    let site = Site::open(conditions, "[compress]\nenabled = false\n");
    at_most(LIMIT, || {
        site.visit(|visitor| async move {
            let mut connection = visitor.connect(Version::Http2).await?;
            let start = Instant::now();
            whole(connection.get("/bytes/1000", &[]).await?).await?;
            let alone = start.elapsed();
            let mut download = connection.get("/bytes/2000000", &[]).await?;
            some(&mut download, 60_000).await?;
            let start = Instant::now();
            whole(connection.get("/bytes/1000", &[("priority", "u=1")]).await?).await?;
            Ok((start.elapsed(), alone))
        })
    });
}
