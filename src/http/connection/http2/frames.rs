//! The frames of HTTP/2 in a stream of bytes (RFC 9113 section 4.1): their heads, and of two short kinds the payload.
//! Without input, output or clock.

/// What a client sends before its first frame.
const PREFACE_LEN: u64 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len() as u64;
const FRAME_HEADER_LEN: usize = 9;
/// The longest payload that is shown: a stream and what may be said of its priority. A longer one is passed over.
const PAYLOAD_LEN: u32 = 4 + 256;

/// A frame whose head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub length: u32,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;
/// RFC 9218 section 7.1.
pub const PRIORITY_UPDATE: u8 = 0x10;

const ACK: u8 = 0x1;

impl Frame {
    /// HEADERS or CONTINUATION that another CONTINUATION must follow.
    pub fn leaves_head_open(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && self.flags & 0x4 == 0
    }

    /// A stream is reset for what the other side sent on it: a malformed request.
    pub fn resets_for_malformed(&self, payload: &[u8]) -> bool {
        self.kind == RST_STREAM && *payload == [0, 0, 0, 1]
    }

    /// The other side is asked whether it is there.
    pub fn is_ping(&self) -> bool {
        self.kind == PING && self.flags & ACK == 0
    }

    /// It says that it is.
    pub fn is_pong(&self) -> bool {
        self.kind == PING && self.flags & ACK != 0
    }

    /// Its payload is shown with it.
    fn has_payload(&self) -> bool {
        matches!(self.kind, RST_STREAM | PRIORITY_UPDATE) && self.length <= PAYLOAD_LEN
    }

    /// DATA with nothing in it that does not end its stream.
    pub fn is_empty_data(&self) -> bool {
        self.kind == DATA && self.length == 0 && self.flags & 0x1 == 0
    }

    pub fn is_head(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION)
    }
}

/// Walks from frame to frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Bytes to pass before the next head.
    skip: u64,
    head: [u8; FRAME_HEADER_LEN],
    have: usize,
    /// The frame whose payload is awaited, and what has come of it.
    shown: Option<Frame>,
    payload: Vec<u8>,
    /// The walk stops at the end of the frame that it is in.
    stops: bool,
}

impl Walk {
    /// What a client sends: a preface, then frames.
    pub fn of_client() -> Walk {
        Walk { skip: PREFACE_LEN, ..Walk::of_server() }
    }

    /// What a server sends: frames.
    pub fn of_server() -> Walk {
        let head = [0; FRAME_HEADER_LEN];
        Walk { skip: 0, head, have: 0, shown: None, payload: Vec::new(), stops: false }
    }

    /// Between two frames.
    pub fn is_between(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// Passes `bytes`; calls `seen` for each frame as soon as its head is whole, or with its payload for the kinds that
    /// are short.
    pub fn pass(&mut self, bytes: &[u8], mut seen: impl FnMut(Frame, &[u8])) {
        self.pass_until(bytes, |frame, payload| {
            seen(frame, payload);
            false
        });
    }

    /// The same up to the end of the first frame for which `seen` says true. How many bytes were passed, and whether
    /// it was for that.
    pub fn pass_until(&mut self, bytes: &[u8], mut seen: impl FnMut(Frame, &[u8]) -> bool) -> (usize, bool) {
        let mut rest = bytes;
        loop {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
            if self.shown.is_some() {
                self.payload.extend_from_slice(&rest[..skipped]);
            }
            self.skip -= skipped as u64;
            rest = &rest[skipped..];
            if self.skip == 0 {
                if let Some(frame) = self.shown.take() {
                    self.stops = seen(frame, &self.payload);
                    self.payload.clear();
                }
                if std::mem::take(&mut self.stops) {
                    return (bytes.len() - rest.len(), true);
                }
            }
            if rest.is_empty() {
                return (bytes.len(), false);
            }
            let taken = (FRAME_HEADER_LEN - self.have).min(rest.len());
            self.head[self.have..self.have + taken].copy_from_slice(&rest[..taken]);
            self.have += taken;
            rest = &rest[taken..];
            if self.have < FRAME_HEADER_LEN {
                return (bytes.len(), false);
            }
            self.have = 0;
            let [a, b, c, kind, flags, stream @ ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let frame = Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, length };
            self.skip = length.into();
            if frame.has_payload() {
                self.shown = Some(frame);
            } else {
                self.stops = seen(frame, &[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(frames: &[(u8, u8, usize)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags, length) in frames {
            bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes()[1..]);
            bytes.extend([*kind, *flags, 0, 0, 0, 1]);
            bytes.extend(vec![0xff; *length]);
        }
        bytes
    }

    proptest! {
        #[test]
        fn every_frame_is_seen_once_however_it_is_cut(
            frames in prop::collection::vec((prop_oneof![0u8..12, Just(PRIORITY_UPDATE)], any::<u8>(), prop_oneof![Just(4), 0usize..70]), 0..20),
            cuts in prop::collection::vec(1usize..50, 0..60),
        ) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend(encode(&frames));
            let (mut walk, mut rest, mut seen) = (Walk::of_client(), bytes.as_slice(), Vec::new());
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                walk.pass(now, |frame, payload| {
                    assert_eq!(payload, vec![0xff; if frame.has_payload() { frame.length as usize } else { 0 }]);
                    assert_eq!(frame.stream, 1);
                    seen.push((frame.kind, frame.flags, frame.length as usize));
                });
                rest = later;
            }
            prop_assert_eq!(seen, frames);
            prop_assert!(walk.is_between());
        }

        #[test]
        fn it_stops_at_the_end_of_what_it_is_told_to(
            frames in prop::collection::vec((prop_oneof![0u8..12, Just(PRIORITY_UPDATE)], any::<u8>(), 0usize..70), 0..20),
            cut in 1usize..50,
        ) {
            let bytes = encode(&frames);
            let (mut walk, mut passed, mut stops) = (Walk::of_server(), 0, Vec::new());
            while passed < bytes.len() {
                let piece = &bytes[passed..bytes.len().min(passed + cut)];
                let (length, is_stop) = walk.pass_until(piece, |frame, _| frame.kind % 2 == 0);
                passed += length;
                if is_stop {
                    prop_assert!(walk.is_between());
                    stops.push(passed);
                }
            }
            let mut end = 0;
            let ends = frames.iter().map(|(kind, _, length)| {
                end += FRAME_HEADER_LEN + length;
                (kind % 2 == 0, end)
            });
            let ends: Vec<_> = ends.filter_map(|(is_stop, end)| is_stop.then_some(end)).collect();
            prop_assert_eq!(stops, ends);
        }
    }
}
