//! One request and its answer on one connection.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::connection::Connection;
use super::protocol::{self, Head, MAX_INTERIM, Misbehaviour};
use super::rewrite;
use super::upload::{Upload, UploadError};
use crate::http::connection::Connected;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct ExchangeError {
    pub cause: Cause,
    /// The app had sent something, so it has acted on the request.
    pub had_begun: bool,
}

/// The reason why one request came to no answer on one connection.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("the app closed the connection")]
    Closed,
    #[error("the connection to the app failed: {0}")]
    Broken(io::Error),
    #[error("the app did not answer in time")]
    Timeout,
    #[error("the app misbehaved: {0}")]
    Misbehaved(#[from] Misbehaviour),
    #[error("the client's request was cut short: {0}")]
    CutShort(crate::http::body::BodyError),
}

/// What is being asked.
pub struct ExchangeHead<'a> {
    pub method: &'a Method,
    pub wants_upgrade: bool,
    /// When it was put, for the deadline.
    pub asked: Instant,
    /// For the answer's head, from the moment that the app could go on.
    pub timeout: Duration,
    /// Who is told of interim answers, where that can be.
    pub client: Option<&'a Connected>,
}

/// Sends `upload` and reads until the answer's head is there; interim answers are passed on to who can be told of them.
///
/// The upload may be unfinished then: an app may answer before it has read everything.
///
/// # Errors
/// [`ExchangeError`]; the connection is of no more use.
pub async fn ask(
    connection: &mut Connection,
    upload: &mut Upload,
    question: &ExchangeHead<'_>,
) -> Result<Head, ExchangeError> {
    let mut asking = Asking {
        connection,
        upload,
        question,
        interim: 0,
        had_begun: false,
        write_error: None,
        sent_before: 0,
        deadline: question.asked + question.timeout,
    };
    let answered = std::future::poll_fn(|context| asking.poll(context)).await;
    answered.map_err(|cause| ExchangeError { cause, had_begun: asking.had_begun })
}

struct Asking<'a> {
    connection: &'a mut Connection,
    upload: &'a mut Upload,
    question: &'a ExchangeHead<'a>,
    interim: usize,
    had_begun: bool,
    /// The app takes no more of the request; it may have answered all the same.
    write_error: Option<io::Error>,
    sent_before: u64,
    deadline: Instant,
}

impl Asking<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Head, Cause>> {
        self.send(context)?;
        loop {
            match self.connection.poll_read(context) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(self.write_error.take().map_or(Cause::Closed, Cause::Broken)));
                }
                Poll::Ready(Ok(_)) => self.had_begun = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Cause::Broken(error))),
                Poll::Pending => break,
            }
            if let Some(head) = self.take_head()? {
                return Poll::Ready(Ok(head));
            }
        }
        self.watch_the_clock(context)
    }

    fn send(&mut self, context: &mut Context<'_>) -> Result<(), Cause> {
        if self.upload.is_sent() || self.write_error.is_some() {
            return Ok(());
        }
        // Away only once an answer's head is there.
        let Some(writer) = self.connection.writer.as_mut() else { return Ok(()) };
        match self.upload.poll(writer, context) {
            Poll::Ready(Err(UploadError::Client(error))) => return Err(Cause::CutShort(error)),
            Poll::Ready(Err(UploadError::App(error))) => self.write_error = Some(error),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if self.upload.sent != self.sent_before && self.upload.has_body() {
            self.sent_before = self.upload.sent;
            self.deadline = Instant::now() + self.question.timeout;
        }
        Ok(())
    }

    fn take_head(&mut self) -> Result<Option<Head>, Cause> {
        let ExchangeHead { method, wants_upgrade, .. } = *self.question;
        while let Some(mut head) = protocol::parse(&mut self.connection.input, method, wants_upgrade)? {
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(Misbehaviour::TooManyInterim.into());
            }
            if let Some(client) = self.question.client {
                rewrite::strip_private(&mut head.headers);
                client.interim.say(head.status, &head.headers);
            }
        }
        Ok(None)
    }

    fn watch_the_clock(&mut self, context: &mut Context<'_>) -> Poll<Result<Head, Cause>> {
        while self.connection.timer.poll(context, self.deadline).is_ready() {
            if !self.upload.awaits_client {
                return Poll::Ready(Err(Cause::Timeout));
            }
            self.deadline = Instant::now() + self.question.timeout;
        }
        Poll::Pending
    }
}
