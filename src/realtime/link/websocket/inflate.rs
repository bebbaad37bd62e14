//! Inflating messages (RFC 7692 section 7.2.2) with a hard limit.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use super::{Agreed, violation};
use crate::realtime::vocabulary::Violation;

/// The empty block that a sender cuts off the end of each message (RFC 7692 section 7.2.1).
const EMPTY_BLOCK: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// Bytes inflated at a time.
const STEP_LEN: usize = 8 * 1024;
/// Inflaters that each thread keeps for messages to come; 48 KiB each.
const MAX_SPARES: usize = 4;

thread_local! {
    /// Inflaters with the largest window that no message is using. When full, one more is freed.
    static SPARE: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
}

/// One connection's inflater: without context it has memory only inside a message.
#[derive(Debug)]
pub struct Inflater {
    context: bool,
    window: u8,
    state: Option<Decompress>,
}

impl Inflater {
    pub fn new(agreed: &Agreed) -> Inflater {
        // The library has no window of 2⁸; a larger one understands it as well.
        Inflater { context: agreed.client_context, window: agreed.client_window.max(9), state: None }
    }

    #[cfg(test)]
    pub(super) fn is_under_way(&self) -> bool {
        self.state.is_some()
    }

    /// Appends what `input` inflates to.
    ///
    /// # Errors
    /// [`Violation`] when it is not deflated data, or `output` would grow beyond `limit`.
    pub fn inflate(&mut self, mut input: &[u8], output: &mut Vec<u8>, limit: usize) -> Result<(), Violation> {
        // Without context every window starts empty, so one of the largest size serves every message.
        let state = self.state.get_or_insert_with(|| {
            if self.context { Decompress::new_with_window_bits(false, self.window) } else { spare() }
        });
        loop {
            let room = limit.saturating_add(1) - output.len();
            if output.capacity() - output.len() < room.min(STEP_LEN) {
                output.reserve_exact(room.min(STEP_LEN.max(output.len())));
            }
            let (read, written) = (state.total_in(), output.len());
            let status = state.decompress_vec(input, output, FlushDecompress::Sync);
            let status = status.map_err(|_| violation::not_deflated())?;
            input = &input[(state.total_in() - read) as usize..];
            if output.len() > limit {
                return Err(violation::message_too_long());
            }
            let is_full = output.len() == output.capacity();
            match status {
                // A final block ends the stream, not the message (RFC 7692 section 7.2.3.4): a new stream follows.
                Status::StreamEnd => {
                    state.reset(false);
                    if input.is_empty() {
                        return Ok(());
                    }
                }
                _ if input.is_empty() && !is_full => return Ok(()),
                _ if output.len() == written && state.total_in() == read && !is_full => {
                    return Err(violation::not_deflated());
                }
                _ => {}
            }
        }
    }

    /// Appends what is left of the message.
    ///
    /// # Errors
    /// As [`Inflater::inflate`].
    pub fn finish(&mut self, output: &mut Vec<u8>, limit: usize) -> Result<(), Violation> {
        self.inflate(&EMPTY_BLOCK, output, limit)?;
        if !self.context
            && let Some(state) = self.state.take()
        {
            give_back(state);
        }
        Ok(())
    }
}

fn spare() -> Decompress {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| Decompress::new_with_window_bits(false, 15))
}

fn give_back(mut state: Decompress) {
    SPARE.with_borrow_mut(|spares| {
        if spares.len() < MAX_SPARES {
            state.reset(false);
            spares.push(state);
        }
    });
}
