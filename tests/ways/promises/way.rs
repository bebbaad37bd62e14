//! Promise: the way of these tests is what it was asked to be.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use ways::{Conditions, Patience, Reordering, Way};

use crate::Test;
use crate::harness::PATIENCE;

pub const TESTS: &[Test] = &[
    ("way::delay_and_rate_are_kept", delay_and_rate_are_kept),
    ("way::a_lossy_way_that_reorders_brings_all", a_lossy_way_that_reorders_brings_all),
    ("way::a_black_hole_swallows_and_ends", a_black_hole_swallows_and_ends),
    ("way::a_nat_forgets_silently_or_with_a_reset", a_nat_forgets_silently_or_with_a_reset),
    ("way::ways_stand_side_by_side", ways_stand_side_by_side),
];

const PORT: u16 = 7;

/// A way with a server that sends back what it hears, and how long it took to connect to it.
fn echo(conditions: Conditions, patience: Patience) -> (Way, TcpStream, Duration) {
    let way = Way::new(conditions).unwrap();
    way.nat(patience);
    let address = (way.server.address(), PORT);
    let listener = way.server.run(async move { TcpListener::bind(address).await.unwrap() });
    way.server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let (stream, time) = way.client.run(async move {
        let start = Instant::now();
        (TcpStream::connect(address).await.unwrap(), start.elapsed())
    });
    (way, stream, time)
}

/// Says so many bytes and hears them.
async fn says(mut stream: TcpStream, bytes: usize) -> Result<TcpStream, std::io::Error> {
    let said: Vec<u8> = (0..bytes).map(|number| (number % 251) as u8).collect();
    let mut heard = vec![0; bytes];
    {
        let (mut from, mut to) = stream.split();
        tokio::try_join!(to.write_all(&said), from.read_exact(&mut heard))?;
    }
    assert!(said == heard, "it came as it went");
    Ok(stream)
}

fn delay_and_rate_are_kept() {
    let round_trip = Duration::from_millis(60);
    let (way, stream, connecting) = echo(Conditions::long(round_trip, 20_000_000), Patience::Endless);
    assert!(connecting >= round_trip, "{connecting:?}");
    let start = Instant::now();
    way.client.run(async move { says(stream, 1_000_000).await.unwrap() });
    // 8 megabits, at 20 a second.
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    assert!(way.up().bytes > 1_000_000 && way.down().bytes > 1_000_000);
}

fn a_lossy_way_that_reorders_brings_all() {
    let reordering = Reordering { share: 0.05, by: Duration::from_millis(5) };
    let conditions = Conditions { loss: 0.02, reordering, jitter: Duration::from_millis(1), ..Conditions::default() };
    let (way, stream, _) = echo(conditions, Patience::Endless);
    way.client.run(async move { says(stream, 1_000_000).await.unwrap() });
    assert!(way.up().lost + way.down().lost > 0);
}

fn a_black_hole_swallows_and_ends() {
    let (way, stream, _) = echo(Conditions::default(), Patience::Endless);
    way.black_hole(true);
    let waiting = way.client.spawn(says(stream, 10));
    wait_until("it was sent again", || way.up().lost >= 2);
    assert!(!waiting.is_finished());
    way.black_hole(false);
    way.client.run(async move { timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap() });
}

fn a_nat_forgets_silently_or_with_a_reset() {
    let long = Duration::from_secs(3600);
    let (way, stream, _) = echo(Conditions::default(), Patience::Vanish(long));
    let stream = way.client.run(async move { says(stream, 10).await.unwrap() });
    way.forget();
    let waiting = way.client.spawn(says(stream, 10));
    wait_until("it was sent again", || way.up().forgotten >= 2);
    assert!(!waiting.is_finished());

    let (way, stream, _) = echo(Conditions::default(), Patience::Reset(long));
    let stream = way.client.run(async move { says(stream, 10).await.unwrap() });
    way.forget();
    let error = way.client.run(async move { timeout(PATIENCE, says(stream, 10)).await.unwrap().unwrap_err() });
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

fn ways_stand_side_by_side() {
    let ways: Vec<_> = (0..3).map(|_| echo(Conditions::default(), Patience::Endless)).collect();
    for (way, stream, _) in ways {
        way.client.run(async move { says(stream, 1000).await.unwrap() });
        assert!(way.up().bytes > 1000);
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
