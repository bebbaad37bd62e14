//! Promise: a NAT that forgets silent connections does not forget these.

use std::time::{Duration, Instant};

use ways::visitor::{Version, whole};
use ways::{Conditions, Patience};

use crate::Test;
use crate::harness::PATIENCE;
use crate::site::Site;

pub const TESTS: &[Test] = &[
    ("forgotten::http1_outlives_a_nat", || outlives_a_nat(Version::Http1)),
    ("forgotten::http2_outlives_a_nat", || outlives_a_nat(Version::Http2)),
];

/// Less than by default, in proportion: a NAT that forgets after 60 s, a door that asks after 30.
const NAT: Duration = Duration::from_secs(8);
const KEEPALIVE: &str = "tcp_keepalive = \"4s\"\n";

/// A second request on a connection that was silent for longer than the NAT remembers.
fn outlives_a_nat(version: Version) {
    let site = Site::listening(Conditions::default(), KEEPALIVE, "");
    site.way.nat(Patience::Vanish(NAT));
    let mut connection = site.visit(move |visitor| async move {
        let mut connection = visitor.connect(version).await?;
        whole(connection.get("/bytes/10", &[]).await?).await?;
        Ok(connection)
    });
    let (start, asked) = (Instant::now(), site.way.down().passed);
    // Each question of the kernel is one packet.
    while start.elapsed() < NAT + Duration::from_secs(1) || site.way.down().passed < asked + 2 {
        assert!(start.elapsed() < PATIENCE, "nobody asks after the client");
        std::thread::sleep(Duration::from_millis(50));
    }
    site.visit(|_| async move { whole(connection.get("/bytes/10", &[]).await?).await });
    assert_eq!((site.way.up().forgotten, site.way.down().forgotten), (0, 0));
}
