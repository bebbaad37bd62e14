//! Frames made once and handed out by reference.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::Frame;

/// What one event looks like in one encoding, shared by every client of that encoding. Cheap to clone.
#[derive(Clone)]
pub struct EncodedFrames(Arc<Inner>);

struct Inner {
    frames: Frames,
    bytes: usize,
    /// How many keep it for those who may come back for it.
    keepers: AtomicU32,
    wire: OnceLock<Bytes>,
    deflated: OnceLock<(u8, Bytes)>,
}

/// Most events are one frame; those with attachments are several, never torn apart.
enum Frames {
    One(Frame),
    Many(Box<[Frame]>),
}

impl EncodedFrames {
    pub fn new(frame: Frame) -> EncodedFrames {
        let bytes = frame.len();
        EncodedFrames::of(Frames::One(frame), bytes)
    }

    /// Several frames that travel together.
    pub fn several(frames: Vec<Frame>) -> EncodedFrames {
        let bytes = frames.iter().map(Frame::len).sum();
        EncodedFrames::of(Frames::Many(frames.into()), bytes)
    }

    fn of(frames: Frames, bytes: usize) -> EncodedFrames {
        let keepers = AtomicU32::new(0);
        EncodedFrames(Arc::new(Inner { frames, bytes, keepers, wire: OnceLock::new(), deflated: OnceLock::new() }))
    }

    pub fn frames(&self) -> &[Frame] {
        match &self.0.frames {
            Frames::One(frame) => std::slice::from_ref(frame),
            Frames::Many(frames) => frames,
        }
    }

    /// Length of all payloads, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// One more keeps it. What that costs in memory, in bytes: all of it is the first's.
    pub fn keep(&self) -> usize {
        size_of::<EncodedFrames>() + if self.0.keepers.fetch_add(1, Ordering::Relaxed) == 0 { self.cost() } else { 0 }
    }

    /// One of those lets it go. What that gives back.
    pub fn let_go(&self) -> usize {
        size_of::<EncodedFrames>() + if self.0.keepers.fetch_sub(1, Ordering::Relaxed) == 1 { self.cost() } else { 0 }
    }

    fn cost(&self) -> usize {
        size_of::<Inner>() + self.0.bytes
    }

    /// The frames as they look on the wire of a WebSocket that neither masks nor compresses: headers and payloads in
    /// one piece, made by `render` for the first link that asks and shared by all others.
    pub fn wire(&self, render: impl FnOnce(&[Frame]) -> Bytes) -> &Bytes {
        self.0.wire.get_or_init(|| render(self.frames()))
    }

    /// As [`EncodedFrames::wire`], of a WebSocket that compresses each message by itself with a window of 2 to the `window`.
    /// `None` where it was made for another window: those links are few, and each makes its own.
    pub fn deflated(&self, window: u8, render: impl FnOnce(&[Frame]) -> Bytes) -> Option<&Bytes> {
        let (made_for, bytes) = self.0.deflated.get_or_init(|| (window, render(self.frames())));
        (*made_for == window).then_some(bytes)
    }
}

impl From<Frame> for EncodedFrames {
    fn from(frame: Frame) -> EncodedFrames {
        EncodedFrames::new(frame)
    }
}

impl fmt::Debug for EncodedFrames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.frames()).finish()
    }
}
