//! Deflating messages (RFC 7692 section 7.2.1).

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

use super::Agreed;

/// Level 3 of 9: most of the gain for a third of the time.
const COMPRESSION_LEVEL: Compression = Compression::new(3);
/// The empty block that is cut off the end of each message (RFC 7692 section 7.2.1).
const EMPTY_BLOCK: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

thread_local! {
    /// The compressor of messages without context, and its window. One for all connections of the thread.
    static SHARED: RefCell<Option<(u8, Compress)>> = const { RefCell::new(None) };
}

/// One connection's deflater: without context it has no memory.
#[derive(Debug)]
pub struct Deflater {
    window: u8,
    context: bool,
    /// Shorter messages are sent as they are.
    threshold: usize,
    state: Option<Compress>,
}

impl Deflater {
    /// None where no compressor has a window as small as the client wants: everything is sent as it is.
    pub fn new(agreed: &Agreed, threshold: usize) -> Option<Deflater> {
        let (window, context) = (agreed.server_window, agreed.server_context);
        (window >= 9).then_some(Deflater { window, context, threshold, state: None })
    }

    /// Two connections of the same class, if they have one, compress a message to the same bytes.
    pub fn class(&self) -> Option<Class> {
        (!self.context).then_some(Class { window: self.window, threshold: self.threshold })
    }

    /// Appends what `message` deflates to. False, and nothing appended, when it is better sent as it is.
    pub fn deflate(&mut self, message: &[u8], output: &mut Vec<u8>) -> bool {
        if let Some(class) = self.class() {
            return class.deflate(message, output);
        }
        if message.len() < self.threshold {
            return false;
        }
        let window = self.window;
        let state = self.state.get_or_insert_with(|| Compress::new_with_window_bits(COMPRESSION_LEVEL, false, window));
        if !run(state, message, output) {
            // The window holds what the client never saw: begin anew.
            self.state = None;
            return false;
        }
        true
    }
}

/// Deflates a message without context takeover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    pub window: u8,
    pub threshold: usize,
}

impl Class {
    /// As [`Deflater::deflate`].
    pub fn deflate(self, message: &[u8], output: &mut Vec<u8>) -> bool {
        if message.len() < self.threshold {
            return false;
        }
        let begin = output.len();
        let is_deflated = SHARED.with_borrow_mut(|shared| {
            if shared.as_ref().is_none_or(|(window, _)| *window != self.window) {
                *shared = Some((self.window, Compress::new_with_window_bits(COMPRESSION_LEVEL, false, self.window)));
            }
            let Some((_, state)) = shared else { return false };
            state.reset();
            run(state, message, output)
        });
        if is_deflated && output.len() - begin >= message.len() {
            output.truncate(begin);
            return false;
        }
        is_deflated
    }
}

fn run(state: &mut Compress, mut message: &[u8], output: &mut Vec<u8>) -> bool {
    let begin = output.len();
    output.reserve(message.len() / 2 + 64);
    loop {
        let read = state.total_in();
        if state.compress_vec(message, output, FlushCompress::Sync).is_err() {
            output.truncate(begin);
            return false;
        }
        message = &message[(state.total_in() - read) as usize..];
        // Output that ends short of the room it had is all there is.
        if message.is_empty() && output.len() < output.capacity() {
            break;
        }
        output.reserve(message.len() / 2 + 64);
    }
    if output.ends_with(&EMPTY_BLOCK) {
        output.truncate(output.len() - EMPTY_BLOCK.len());
    }
    true
}
