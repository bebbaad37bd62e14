//! Promise: over a short way a request's body may send ahead no more than it needs, and the keys are the most it ever may.
//! What a long way is given is held to over real ones.

use crate::harness::frames::{Site, WINDOW_UPDATE};

/// What a new connection may send ahead: of one request, and in all.
async fn windows(config: &str) -> (u32, u32) {
    let site = Site::new(config);
    let mut connection = site.connect(&[]).await;
    let settings = connection.settings().await;
    // SETTINGS_INITIAL_WINDOW_SIZE
    let stream = settings.iter().find(|(identifier, _)| *identifier == 4).map_or(65_535, |(_, size)| *size);
    loop {
        let frame = connection.next().await.expect("the connection goes on");
        if frame.kind == WINDOW_UPDATE && frame.stream == 0 {
            let more = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
            return (stream, 65_535 + more);
        }
    }
}

#[tokio::test]
async fn a_short_way_has_little_and_the_keys_are_bounds() {
    assert_eq!(windows("").await, (256 * 1024, 1024 * 1024));
    let config = "[http]\nh2_stream_window = \"100KiB\"\nh2_connection_window = \"200KiB\"\n";
    assert_eq!(windows(config).await, (100 * 1024, 200 * 1024));
}
