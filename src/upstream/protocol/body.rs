//! The body of an answer, as its head framed it.

use bytes::BytesMut;

use super::chunked::Chunked;
pub use super::chunked::Piece;
use super::{Framing, Misbehaviour};

/// The framing of an answer's body (RFC 9112 section 6), and how far it has been read.
#[derive(Debug)]
pub enum Decoder {
    /// Bytes that are still to come.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Decoder {
    pub fn new(framing: Framing) -> Decoder {
        match framing {
            Framing::Empty => Decoder::Length(0),
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunked::default()),
            Framing::UntilClose => Decoder::UntilClose,
        }
    }

    /// Takes the next piece off the front of `input`.
    ///
    /// # Errors
    /// [`Misbehaviour`] of malformed chunks; what came before them stands.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Piece, Misbehaviour> {
        match self {
            Decoder::Length(0) => Ok(Piece::End),
            Decoder::Chunked(chunked) => chunked.decode(input),
            _ if input.is_empty() => Ok(Piece::More),
            Decoder::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= take as u64;
                Ok(Piece::Data(input.split_to(take).freeze()))
            }
            Decoder::UntilClose => Ok(Piece::Data(input.split().freeze())),
        }
    }

    /// So many bytes of a body whose length is known have gone another way.
    pub fn pass(&mut self, length: usize) {
        if let Decoder::Length(left) = self {
            *left = left.saturating_sub(length as u64);
        }
    }

    /// The app has closed its side.
    ///
    /// # Errors
    /// [`Misbehaviour::CutShort`] when that was too early.
    pub fn close(&self) -> Result<(), Misbehaviour> {
        match self {
            Decoder::UntilClose => Ok(()),
            _ if self.is_done() => Ok(()),
            _ => Err(Misbehaviour::CutShort),
        }
    }

    pub fn is_done(&self) -> bool {
        match self {
            Decoder::Length(left) => *left == 0,
            Decoder::Chunked(chunked) => chunked.is_done(),
            Decoder::UntilClose => false,
        }
    }

    /// How many bytes are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Decoder::Length(left) => Some(*left),
            Decoder::Chunked(_) | Decoder::UntilClose => None,
        }
    }
}
