//! A message while it comes: in frames, in pieces of frames, compressed or not.

use bytes::Bytes;

use super::inflate::Inflater;
use super::violation;
use crate::realtime::vocabulary::{Frame, Text, Violation};

/// Bytes set aside at once for a frame whose header announces more than has come: an announcement costs nothing.
const TRUSTED_LEN: usize = 16 * 1024;

/// A message of which some frames have come (RFC 6455 section 5.4).
#[derive(Debug)]
pub struct AssembledMessage {
    is_text: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
    /// Bytes of them known to be UTF-8.
    checked: usize,
}

impl AssembledMessage {
    pub fn new(is_text: bool, is_compressed: bool) -> AssembledMessage {
        AssembledMessage { is_text, is_compressed, bytes: Vec::new(), checked: 0 }
    }

    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Bytes so far, inflated.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes the next bytes; `announced` more follow them in the same frame.
    ///
    /// # Errors
    /// [`Violation`] as soon as they cannot be part of a right message that is not too long.
    pub fn extend(
        &mut self,
        bytes: &[u8],
        announced: u64,
        inflater: Option<&mut Inflater>,
        limit: usize,
    ) -> Result<(), Violation> {
        match inflater {
            Some(inflater) if self.is_compressed => inflater.inflate(bytes, &mut self.bytes, limit)?,
            _ => {
                if announced > 0 && self.bytes.capacity() - self.bytes.len() < bytes.len() {
                    // At most double what is there, and never more than will come.
                    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
                    let ahead = announced.min(self.bytes.len().max(TRUSTED_LEN));
                    self.bytes.reserve_exact(bytes.len().saturating_add(ahead));
                }
                self.bytes.extend_from_slice(bytes);
            }
        }
        self.check()
    }

    /// The whole message.
    ///
    /// # Errors
    /// [`Violation`] when it ends inside a character or inside compressed data.
    pub fn finish(mut self, inflater: Option<&mut Inflater>, limit: usize) -> Result<Frame, Violation> {
        if let Some(inflater) = inflater
            && self.is_compressed
        {
            inflater.finish(&mut self.bytes, limit)?;
            self.check()?;
        }
        if self.bytes.capacity() - self.bytes.len() > self.bytes.len() / 4 {
            // It may be kept for long: as history, or in the queues of slow clients.
            self.bytes.shrink_to_fit();
        }
        let bytes = Bytes::from(self.bytes);
        if self.is_text {
            Text::try_from(bytes).map(Frame::Text).map_err(|_| violation::not_utf8())
        } else {
            Ok(Frame::Binary(bytes))
        }
    }

    /// Fails at the first byte that no text can have there; a character may still be incomplete at the end.
    fn check(&mut self) -> Result<(), Violation> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(violation::not_utf8()),
        }
        Ok(())
    }
}
