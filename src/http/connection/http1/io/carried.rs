//! Bodies that are carried: between the client's socket and a passage, while hyper counts blank bytes in their place.

use std::io;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::{Guarded, Read};
use crate::listen::passage::carried_by_nobody;

impl Guarded {
    /// Writes what `length` blank bytes stand for.
    pub(super) fn poll_carry_out(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        let Some(passage) = self.connected.carrying.outbound() else {
            return Poll::Ready(Err(carried_by_nobody()));
        };
        let moved = self.stream.poll_drain(context, &passage, length);
        if let Poll::Ready(Ok(_)) = moved {
            self.is_flushed = false;
            if passage.is_empty() {
                self.connected.carrying.drained(passage);
            }
        }
        self.stall.watch(context, moved, |length| *length)
    }

    /// Puts what the client sends of a body into its passage, if it has one, and blank bytes into hyper's buffer.
    pub(super) fn poll_carry_in(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Option<Poll<io::Result<Read>>> {
        let left = self.guard.body_left()?;
        let inbound = self.connected.carrying.inbound(self.guard.heads()).filter(|_| !self.stream.is_secure())?;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.remaining());
        let filled = inbound.passage.poll_fill(context, self.stream.tcp(), most);
        Some(filled.map(|filled| match filled {
            Ok(Some(0)) => Ok(Read::End),
            Ok(Some(length)) => {
                inbound.begin(left);
                buffer.initialize_unfilled_to(length);
                buffer.advance(length);
                self.guard.pass_body(length);
                Ok(Read::Some)
            }
            // What comes now would be taken for blank.
            Ok(None) if inbound.has_begun() => Err(io::ErrorKind::Unsupported.into()),
            Ok(None) => {
                self.connected.carrying.leave_request(self.guard.heads());
                Ok(Read::Nothing)
            }
            Err(error) => Err(error),
        }))
    }
}
