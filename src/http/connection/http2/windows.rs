//! How much of its requests' bodies a client may send ahead: little where the way is short, since it needs no more there;
//! on a long way as much as fills it, within what all connections together may have besides.
//!
//! They stay as they are once the connection has begun. hyper owns what could widen them (`set_target_window_size` and
//! `set_initial_window_size` of h2's connection) and calls it only for its `adaptive_window`, which begins with 64 KiB on
//! every way and may come to 16 MiB for each stream and connection, with no bound for all of them together: a thousand
//! stalled uploads could hold 16 GiB. Nor can the meter beneath hyper say windows of its own: more than the library knows
//! of is an error of the client's to it, and with less the client would wait for an update that comes only when half of
//! the larger one is used up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::http::Config;

/// What each request may have, in bytes, however short its way is: good for 200 MB/s at 1 ms.
const STREAM: u64 = 256 * 1024;
/// The same for all of a connection.
const CONNECTION: u64 = 1024 * 1024;
/// How fast a body may come that has a long way, in bytes a second. The window is given back by halves, so that two
/// thirds of this are sure: 150 Mbit/s.
const RATE: u64 = 28 * 1024 * 1024;

/// What connections have together beyond [`CONNECTION`] each, in bytes.
static RESERVED: AtomicU64 = AtomicU64::new(0);

/// The windows of one connection, in bytes. What it has beyond the usual is given back when this is dropped.
#[derive(Debug)]
pub struct Windows {
    pub stream: u32,
    pub connection: u32,
    reserved: u64,
    all: &'static AtomicU64,
}

impl Windows {
    /// For a way of this round trip; where all have been given what there is, as for a short one.
    pub fn for_way(round_trip: Duration, config: &Config) -> Windows {
        Windows::of(round_trip, config, &RESERVED)
    }

    fn of(round_trip: Duration, config: &Config, all: &'static AtomicU64) -> Windows {
        let wanted = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX).saturating_mul(RATE) / 1_000_000;
        let stream = wanted.clamp(STREAM, config.h2_stream_window.0.max(STREAM));
        // One upload does not take it all from those beside it.
        let connection = if stream == STREAM { CONNECTION } else { stream + CONNECTION };
        let connection = connection.min(config.h2_connection_window.0).max(CONNECTION);
        let more = connection - CONNECTION;
        let most = config.h2_windows.0;
        let grant = |taken: u64| taken.checked_add(more).filter(|taken| *taken <= most);
        let (stream, connection, reserved) = match all.try_update(Ordering::Relaxed, Ordering::Relaxed, grant) {
            Ok(_) => (stream, connection, more),
            Err(_) => (STREAM, CONNECTION, 0),
        };
        let size = |size: u64, most: u64| u32::try_from(size.min(most)).unwrap_or(i32::MAX as u32);
        Windows {
            stream: size(stream, config.h2_stream_window.0),
            connection: size(connection, config.h2_connection_window.0),
            reserved,
            all,
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.all.fetch_sub(self.reserved, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Size;

    fn at(millis: u64, config: &Config, all: &'static AtomicU64) -> Windows {
        Windows::of(Duration::from_millis(millis), config, all)
    }

    #[test]
    fn a_long_way_has_more_and_all_together_are_bounded() {
        static ALL: AtomicU64 = AtomicU64::new(0);
        let config = Config { h2_windows: Size::mib(10), ..Config::default() };
        let sizes = |windows: &Windows| (u64::from(windows.stream), u64::from(windows.connection));
        assert_eq!(sizes(&at(0, &config, &ALL)), (STREAM, CONNECTION));
        let far: Vec<_> = (0..3).map(|_| at(1000, &config, &ALL)).collect();
        let most = (config.h2_stream_window.0, config.h2_stream_window.0 + CONNECTION);
        assert_eq!(far.iter().map(sizes).collect::<Vec<_>>(), [most, most, (STREAM, CONNECTION)]);
        drop(far);
        assert_eq!(ALL.load(Ordering::Relaxed), 0);
        let (stream, _) = sizes(&at(40, &config, &ALL));
        assert!((RATE / 26..RATE / 24).contains(&stream), "{stream}");
    }

    #[test]
    fn the_keys_are_the_most_even_where_they_say_little() {
        static ALL: AtomicU64 = AtomicU64::new(0);
        let little = Size::kib(64);
        let config = Config { h2_stream_window: little, h2_connection_window: little, ..Config::default() };
        for millis in [0, 150] {
            let windows = at(millis, &config, &ALL);
            assert_eq!((windows.stream, windows.connection), (64 * 1024, 64 * 1024));
        }
    }
}
