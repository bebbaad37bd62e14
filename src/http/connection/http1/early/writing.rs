//! From an answer to the bytes that hyper would write for it, where all of it is at hand.

use std::cell::RefCell;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode, Version};
use http_body::{Body as _, Frame};

use crate::http::body::BodyError;
use crate::http::connection::Outgoing;

/// Room for a head, in bytes; nearly all are shorter.
const HEAD_ROOM: usize = 512;
/// A body of so many bytes is copied behind its head: that takes less time than the kernel needs to walk a list of two.
const SHORT: usize = 4 * 1024;

/// What became of an answer.
pub enum Written {
    /// All of it, as bytes: its head and its body.
    Whole(Vec<u8>, Bytes),
    /// It is for hyper to write.
    Not(Box<Response<Outgoing>>),
}

/// Writes `response`, to HEAD where `is_head`, if it is there as a whole and leaves the connection as it is.
pub fn write(mut response: Response<Outgoing>, is_head: bool, context: &mut Context<'_>) -> Written {
    let has_own_words = response.extensions().get::<hyper::ext::ReasonPhrase>().is_some();
    let status = response.status();
    if response.version() != Version::HTTP_11 || status.is_informational() || has_own_words {
        return Written::Not(Box::new(response));
    }
    let is_empty = response.body().is_end_stream();
    let has_none = is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = if is_empty { Some(0) } else { response.body().size_hint().exact().filter(|_| !has_none) };
    let Some(length) = length else { return Written::Not(Box::new(response)) };
    let said = (!is_head).then_some(length);
    if response.headers().keys().any(|name| matches!(*name, CONNECTION | TRANSFER_ENCODING | TRAILER | UPGRADE)) {
        // It ends the connection, makes something else of it, or is framed in another way.
        return Written::Not(Box::new(response));
    }
    let mut head = head(status, response.headers(), said);
    if is_empty {
        return Written::Whole(head, Bytes::new());
    }
    let piece = match response.body_mut().poll_first(context) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().map_err(Ok),
        Poll::Ready(Some(Err(error))) => Err(Err(error)),
        Poll::Ready(None) | Poll::Pending => return Written::Not(Box::new(response)),
    };
    match piece {
        Ok(data) if data.len() as u64 == length && response.body().is_end_stream() => {
            if data.len() > SHORT {
                return Written::Whole(head, data);
            }
            head.extend_from_slice(&data);
            Written::Whole(head, Bytes::new())
        }
        Ok(data) => back(response, Ok(Frame::data(data))),
        Err(other) => back(response, other),
    }
}

/// The bytes of an answer that grants an upgrade.
pub fn granted(response: &Response<Outgoing>) -> Vec<u8> {
    head(response.status(), response.headers(), None)
}

/// The answer as it was before its `first` piece was taken off.
fn back(mut response: Response<Outgoing>, first: Result<Frame<Bytes>, BodyError>) -> Written {
    response.body_mut().put_back(first);
    Written::Not(Box::new(response))
}

/// The head of an answer with a body of so many bytes; `None` where none is said: to HEAD, whose length is
/// that of another answer, and where an upgrade is granted.
fn head(status: StatusCode, headers: &HeaderMap, length: Option<u64>) -> Vec<u8> {
    let follows = length.filter(|length| *length <= SHORT as u64).unwrap_or(0);
    let mut bytes = Vec::with_capacity(HEAD_ROOM + follows as usize);
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let (mut says_length, mut says_date) = (false, false);
    for (name, value) in headers {
        match *name {
            // Of an empty body it is said in one way, at the end; and never twice.
            CONTENT_LENGTH if length == Some(0) || std::mem::replace(&mut says_length, true) => continue,
            DATE => says_date = true,
            _ => {}
        }
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    let may_say = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = length.filter(|_| may_say && !says_length) {
        bytes.extend_from_slice(b"content-length: ");
        bytes.extend_from_slice(length.to_string().as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !says_date {
        bytes.extend_from_slice(b"date: ");
        extend_by_date(&mut bytes);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The date as HTTP has it, written out once a second and thread.
fn extend_by_date(bytes: &mut Vec<u8>) {
    thread_local!(static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now || text.is_empty() {
            *second = now;
            *text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
        }
        bytes.extend_from_slice(text.as_bytes());
    });
}
