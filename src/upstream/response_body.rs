//! The body of the app's answer, read as the client takes it. At its end the connection goes back to the pool;
//! dropped before (the client left), it closes, which tells the app.
#![expect(
    clippy::disallowed_methods,
    reason = "an upload beside its answer is cut when the answer is dropped, whose request holds a guard"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::connection::Connection;
use super::pool::Pool;
use super::protocol::{Decoder, Head, Misbehaviour, Piece};
use super::socket::Writer;
use super::upload::Upload;
use crate::http::Body;
use crate::http::body::{BodyError, Carried};
use crate::listen::Passage;
use crate::listen::passage::{WORTH_CARRYING, blank};

struct ResponseBody {
    /// `None` once the body has ended, well or not.
    connection: Option<Connection>,
    /// Where it goes then.
    pool: Arc<Pool>,
    decoder: Decoder,
    is_reusable: bool,
    upload: Option<Uploading>,
    /// Where what is still to come goes.
    passage: Option<Arc<Passage>>,
}

/// An upload that goes on beside its answer, until it or the answer ends.
struct Uploading(JoinHandle<Writer>);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body that `head` announces on `connection`. One that there can be none of (204, 304, HEAD) is thrown away, and its
/// connection with it.
///
/// # Errors
/// [`Misbehaviour`] of what came with the head.
pub fn body(mut connection: Connection, head: &Head, upload: Upload, pool: &Arc<Pool>) -> Result<Body, Misbehaviour> {
    connection.keep_alive = head.keep_alive;
    let mut decoder = Decoder::new(head.framing);
    let is_reusable = head.is_persistent && upload.is_sent();
    if decoder.is_done() {
        // Not with stray bytes behind the head: the pool takes none such.
        if is_reusable {
            pool.give_back(connection);
        }
        return Ok(Body::Empty);
    }
    let uploading = match connection.writer.take() {
        Some(writer) if !upload.is_sent() => Some(Uploading(tokio::spawn(upload.finish(writer)))),
        writer => {
            connection.writer = writer;
            None
        }
    };
    if uploading.is_none()
        && let Some(whole) = whole(&mut connection, &mut decoder)?
    {
        if is_reusable {
            pool.give_back(connection);
        }
        return Ok(Body::from(whole));
    }
    Ok(Body::Carried(Box::pin(ResponseBody {
        connection: Some(connection),
        pool: Arc::clone(pool),
        decoder,
        is_reusable,
        upload: uploading,
        passage: None,
    })))
}

/// The whole body, where it came with the head: most answers do, and need no more work.
fn whole(connection: &mut Connection, decoder: &mut Decoder) -> Result<Option<Bytes>, Misbehaviour> {
    let input = &mut connection.input;
    match decoder {
        Decoder::Length(left) if input.len() as u64 >= *left => match decoder.decode(input)? {
            Piece::Data(data) => Ok(Some(data)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

impl ResponseBody {
    fn finish(&mut self) {
        self.upload = None;
        self.passage = None;
        if let Some(connection) = self.connection.take().filter(|_| self.is_reusable) {
            self.pool.give_back(connection);
        }
    }

    /// The next frame, `None` at the end of the body.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        loop {
            let Some(connection) = self.connection.as_mut() else { return Poll::Ready(Ok(None)) };
            if let Some(passage) = self.passage.as_ref().filter(|_| connection.input.is_empty())
                && let Some(left @ 1..) = self.decoder.left()
            {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                match ready!(connection.reader.poll_fill(context, passage, most))? {
                    Some(0) => self.decoder.close()?,
                    Some(length) => {
                        self.decoder.pass(length);
                        if self.decoder.is_done() {
                            self.finish();
                        }
                        return Poll::Ready(Ok(Some(Frame::data(blank(length)))));
                    }
                    None => self.passage = None,
                }
                continue;
            }
            let frame = match self.decoder.decode(&mut connection.input)? {
                Piece::Data(data) => Some(Frame::data(data)),
                Piece::Trailers(fields) => Some(Frame::trailers(fields)),
                Piece::End => None,
                Piece::More => {
                    if ready!(connection.poll_read(context))? > 0 {
                        continue;
                    }
                    self.decoder.close()?;
                    None
                }
            };
            if self.decoder.is_done() || frame.is_none() {
                self.finish();
            }
            return Poll::Ready(Ok(frame));
        }
    }
}

impl Carried for ResponseBody {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        let this = self.get_mut();
        let here = this.connection.as_ref()?.input.len() as u64;
        this.decoder.left().filter(|left| left.saturating_sub(here) >= WORTH_CARRYING)?;
        this.passage = Passage::open();
        this.passage.clone()
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match ready!(this.poll_next(context)) {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(failure) => {
                if this.connection.take().is_some() {
                    this.pool.metrics.failures.cut_short.inc();
                }
                this.upload = None;
                this.passage = None;
                Poll::Ready(Some(Err(failure)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.connection, self.decoder.left()) {
            (None, _) if self.decoder.is_done() => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            // It broke off, or ends with its connection.
            _ => SizeHint::default(),
        }
    }
}
