//! From an answer to the bytes that hyper would write for it, where all of it is at hand.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode, Version};
use http_body::{Body as _, Frame};

use crate::http::connection::Outgoing;

/// Room for a head, in bytes; nearly all are shorter.
const HEAD_ROOM: usize = 512;

/// What became of an answer.
pub enum Written {
    /// All of it, as bytes: its head and its body.
    Whole(Vec<u8>, Bytes),
    /// It is for hyper to write.
    Not(Response<Outgoing>),
}

/// Writes `response`, to HEAD where `is_head`, if it is there as a whole and leaves the connection as it is.
pub fn write(mut response: Response<Outgoing>, is_head: bool, context: &mut Context<'_>) -> Written {
    if !leaves_the_connection_alone(&response) {
        return Written::Not(response);
    }
    let status = response.status();
    let has_none = is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if response.body().is_end_stream() {
        let head = head(status, response.headers(), if is_head { None } else { Some(0) });
        return Written::Whole(head, Bytes::new());
    }
    let length = response.body().size_hint().exact().filter(|_| !has_none);
    let Some(length) = length else { return Written::Not(response) };
    let piece = match Pin::new(response.body_mut()).poll_frame(context) {
        Poll::Ready(Some(Ok(frame))) => frame,
        Poll::Ready(Some(Err(error))) => {
            response.body_mut().put_back(Err(error));
            return Written::Not(response);
        }
        Poll::Ready(None) | Poll::Pending => return Written::Not(response),
    };
    match piece.into_data() {
        Ok(data) if data.len() as u64 == length && response.body().is_end_stream() => {
            Written::Whole(head(status, response.headers(), Some(length)), data)
        }
        Ok(data) => {
            response.body_mut().put_back(Ok(Frame::data(data)));
            Written::Not(response)
        }
        Err(trailers) => {
            response.body_mut().put_back(Ok(trailers));
            Written::Not(response)
        }
    }
}

/// Neither does it end the connection or make something else of it, nor is its head in words of its own.
fn leaves_the_connection_alone(response: &Response<Outgoing>) -> bool {
    let headers = response.headers();
    response.version() == Version::HTTP_11
        && !response.status().is_informational()
        && response.extensions().get::<hyper::ext::ReasonPhrase>().is_none()
        && ![CONNECTION, TRANSFER_ENCODING, TRAILER, UPGRADE].iter().any(|name| headers.contains_key(name))
}

/// The head of an answer with a body of so many bytes; `None` to HEAD, whose length is that of another answer.
fn head(status: StatusCode, headers: &HeaderMap, length: Option<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_ROOM);
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let mut says_length = false;
    for (name, value) in headers {
        if *name == CONTENT_LENGTH {
            // Of an empty body it is said in one way, at the end; and never twice.
            let is_said = length == Some(0) || std::mem::replace(&mut says_length, true);
            if is_said {
                continue;
            }
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
    if !headers.contains_key(DATE) {
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
