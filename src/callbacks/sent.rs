//! Whether a callback has left for the app: from then on its handler may be at work.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;

/// Set once anything of the callback was taken to be sent.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// A body that tells when it is taken, which is when there is a connection for it.
    pub fn watch(&self, bytes: Bytes) -> Watched {
        Watched { body: Full::new(bytes), sent: self.clone() }
    }
}

/// A callback's body, which notes when it has left for the app.
pub struct Watched {
    body: Full<Bytes>,
    sent: Sent,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.sent.0.store(true, Ordering::Release);
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
