//! One more setting in what a server says first, which the library beneath does not know: that the priorities of RFC 7540
//! mean nothing here (RFC 9218 section 2.1.1). A client that knows this may send the frames of RFC 9218 instead.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::frames::SETTINGS;

/// SETTINGS_NO_RFC7540_PRIORITIES, and its value: yes.
const NO_RFC7540_PRIORITIES: [u8; 6] = [0, 9, 0, 0, 0, 1];
const FRAME_HEADER_LEN: usize = 9;
/// The library has seven settings.
const MAX_LEN: usize = 6 * 16;

/// The first frame of a connection.
#[derive(Debug, Default)]
pub enum Greeting {
    #[default]
    Unsaid,
    /// The bytes to be written, how many of them are, and for how many of the library's they stand.
    Saying {
        bytes: Vec<u8>,
        written: usize,
        instead_of: usize,
    },
    Said,
}

impl Greeting {
    /// Writes the first frame of `slices`, with what is added to it. Ready with how many of their bytes are written by
    /// that; 0 where there is nothing to add any more.
    ///
    /// # Errors
    /// Those of `stream`.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if matches!(self, Greeting::Unsaid) {
            let first = slices.iter().find(|slice| !slice.is_empty());
            *self = first.and_then(|first| extended(first)).unwrap_or(Greeting::Said);
        }
        let Greeting::Saying { bytes, written, instead_of } = self else { return Poll::Ready(Ok(0)) };
        while *written < bytes.len() {
            let length = ready!(Pin::new(&mut *stream).poll_write(context, &bytes[*written..]))?;
            if length == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            *written += length;
        }
        let done = *instead_of;
        *self = Greeting::Said;
        Poll::Ready(Ok(done))
    }
}

/// The settings at the beginning of `bytes` with one more; `None` where there are none, or not whole.
fn extended(bytes: &[u8]) -> Option<Greeting> {
    let (head, rest) = bytes.split_first_chunk::<FRAME_HEADER_LEN>()?;
    let [a, b, c, kind, flags, ..] = *head;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let settings = rest.get(..length).filter(|_| kind == SETTINGS && flags == 0 && length <= MAX_LEN)?;
    let mut head = *head;
    head[2] = u8::try_from(length + NO_RFC7540_PRIORITIES.len()).ok()?;
    let bytes = [&head[..], settings, &NO_RFC7540_PRIORITIES].concat();
    Some(Greeting::Saying { bytes, written: 0, instead_of: FRAME_HEADER_LEN + length })
}
