//! A body of packets: whatever it is, it is read to its end; and what was read is written as it was.

use bytes::Bytes;
use doorway::realtime::socketio::engineio::transport::{PollingPayload, encode};
use doorway::realtime::vocabulary::Frame;

const MOST: usize = 10_000;

pub fn holds(body: &[u8]) {
    let Ok(payload) = PollingPayload::new(Bytes::copy_from_slice(body), MOST) else { return };
    let Ok(frames) = payload.collect::<Result<Vec<Frame>, _>>() else { return };
    assert!(frames.len() <= body.len() + 1);
    // A link writes no empty text: its packets have a type.
    if frames.iter().any(|frame| matches!(frame, Frame::Text(text) if text.is_empty())) {
        return;
    }
    let again: Result<Vec<_>, _> = PollingPayload::new(encode(frames.iter(), None), MOST).expect("it is one").collect();
    assert_eq!(again, Ok(frames));
}
