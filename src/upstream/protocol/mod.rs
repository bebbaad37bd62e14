//! HTTP/1.1 as a client speaks it (RFC 9112), sans-io: bytes in, heads and bodies out.
//!
//! Not hyper's client, for four reasons: it drops a chunked body of a GET, keeps quiet about answers that two readers
//! read in two ways, wants a task and two channel hops a request, and does not say whether an answer had begun.

mod body;
mod chunked;
mod head;

pub use body::{Decoder, Piece};
pub use head::{Framing, Head, parse};

/// What an app must not do. Its answer is not passed on, and its connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    #[error("its answer is not HTTP/1.1: {0}")]
    NotHttp(httparse::Error),
    #[error("the head of its answer is longer than {} KiB", head::MAX_HEAD_LEN / 1024)]
    HeadTooLong,
    #[error("its answer has both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    #[error("its answer has more than one Content-Length")]
    TwoLengths,
    #[error("its Content-Length is not a number")]
    BadLength,
    #[error("its Transfer-Encoding is not just \"chunked\"")]
    BadEncoding,
    #[error("it switched protocols unasked")]
    SwitchUnasked,
    #[error("it switched to another protocol than it was asked for")]
    SwitchedElsewhere,
    #[error("it sent more than {} interim answers", head::MAX_INTERIM)]
    TooManyInterim,
    #[error("its chunks are malformed: {0}")]
    BadChunk(&'static str),
    #[error("its trailers are malformed or too long")]
    BadTrailers,
    #[error("its answer was cut short")]
    CutShort,
}

/// How many interim answers (1xx) may come before the answer.
pub const MAX_INTERIM: usize = head::MAX_INTERIM;
