//! The frames of HTTP/2 in a stream of bytes (RFC 9113 section 4.1): their kinds and lengths, and nothing else of them.
//! Without input, output or clock.

/// What a client sends before its first frame.
const PREFACE_LEN: u64 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len() as u64;
const FRAME_HEADER_LEN: usize = 9;
/// Of RST_STREAM, the code too.
const HEAD_AND_CODE: usize = FRAME_HEADER_LEN + 4;

/// A frame whose head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub length: u32,
    /// Why a stream is reset (RFC 9113 section 7).
    pub code: Option<u32>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const CONTINUATION: u8 = 9;

impl Frame {
    /// HEADERS or CONTINUATION that another CONTINUATION must follow.
    pub fn leaves_head_open(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && self.flags & 0x4 == 0
    }

    /// A stream is reset for what the other side sent on it: a malformed request.
    pub fn resets_for_malformed(&self) -> bool {
        self.code == Some(1)
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
    head: [u8; HEAD_AND_CODE],
    have: usize,
}

impl Walk {
    /// What a client sends: a preface, then frames.
    pub fn of_client() -> Walk {
        Walk { skip: PREFACE_LEN, head: [0; HEAD_AND_CODE], have: 0 }
    }

    /// What a server sends: frames.
    pub fn of_server() -> Walk {
        Walk { skip: 0, head: [0; HEAD_AND_CODE], have: 0 }
    }

    /// Between two frames.
    pub fn is_between(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// Passes `bytes`; calls `seen` for each frame as soon as its head is whole.
    pub fn pass(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= skipped as u64;
            bytes = &bytes[skipped..];
            let wanted = if self.have < FRAME_HEADER_LEN { FRAME_HEADER_LEN } else { HEAD_AND_CODE };
            let taken = (wanted - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < wanted {
                continue;
            }
            let [a, b, c, kind, flags, _, _, _, _, code @ ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let has_code = kind == RST_STREAM && length == 4;
            if has_code && wanted == FRAME_HEADER_LEN {
                continue;
            }
            self.have = 0;
            self.skip = if has_code { 0 } else { u64::from(length) };
            seen(Frame { kind, flags, length, code: has_code.then(|| u32::from_be_bytes(code)) });
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
            frames in prop::collection::vec((0u8..12, any::<u8>(), prop_oneof![Just(4), 0usize..70]), 0..20),
            cuts in prop::collection::vec(1usize..50, 0..60),
        ) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend(encode(&frames));
            let (mut walk, mut rest, mut seen) = (Walk::of_client(), bytes.as_slice(), Vec::new());
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                walk.pass(now, |frame| {
                    let has_code = frame.kind == RST_STREAM && frame.length == 4;
                    assert_eq!(frame.code, has_code.then_some(u32::MAX));
                    seen.push((frame.kind, frame.flags, frame.length as usize));
                });
                rest = later;
            }
            prop_assert_eq!(seen, frames);
            prop_assert!(walk.is_between());
        }
    }
}
