//! Promise: on a narrow way, where a question whether the client is there waits behind all that was sent before it, a download
//! goes on.

use std::time::Duration;

use ways::Conditions;
use ways::visitor::{Version, some};

use crate::Test;
use crate::site::Site;

pub const TESTS: &[Test] = &[("narrow::a_download_goes_on", a_download_goes_on)];

/// Bits a second.
const RATE: u64 = 128_000;
/// What the kernel takes ahead is good for eight times as long as an answer may take.
const CONFIG: &str = "[http]\nh2_ping_interval = \"1s\"\nh2_ping_timeout = \"1s\"\n[compress]\nenabled = false\n";

fn a_download_goes_on() {
    let site = Site::open(Conditions::long(Duration::from_millis(200), RATE), CONFIG);
    site.visit(|visitor| async move {
        let mut connection = visitor.connect(Version::Http2).await?;
        let mut download = connection.get("/bytes/200000", &[]).await?;
        some(&mut download, 200_000).await
    });
}
