//! Answers to clients of HTTP/1.0. They are in the form of HTTP/1.1, the highest that is spoken here (RFC 9110 section 2.5),
//! so that they must say where the connection closes: HTTP/1.1 would keep it.

use http::header::{CONNECTION, HeaderValue};
use http::{HeaderMap, Request, Version};
use http_body::Body as _;

use crate::http::Response;

/// What hyper begins an answer to HTTP/1.0 with.
const WRITTEN: &[u8] = b"HTTP/1.0 ";
/// What it begins with on the wire.
const SENT: &[u8] = b"HTTP/1.1 ";

/// A request of HTTP/1.0.
#[derive(Debug, Clone, Copy)]
pub struct Http10 {
    /// It asks for the connection to be kept.
    keep_alive: bool,
}

impl Http10 {
    /// `None` for any other version.
    pub fn of<B>(request: &Request<B>) -> Option<Http10> {
        (request.version() == Version::HTTP_10).then(|| Http10 { keep_alive: asks_to_keep(request.headers()) })
    }

    /// Says in `answer` that the connection closes behind it: unless the client asked to keep it, and where only the
    /// close tells where the content ends, since HTTP/1.0 knows no chunks.
    pub fn close_where_needed(self, answer: &mut Response) {
        if !self.keep_alive || answer.body().size_hint().exact().is_none() {
            self.close(answer);
        }
    }

    /// Says in `answer` that the connection closes behind it.
    pub fn close(self, answer: &mut Response) {
        // hyper would add its own "keep-alive" to an answer of HTTP/1.1.
        *answer.version_mut() = Version::HTTP_10;
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn asks_to_keep(headers: &HeaderMap) -> bool {
    let has = |wanted: &str| {
        let options = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    has("keep-alive") && !has("close")
}

/// The version in the head of an answer, on its way to the socket.
#[derive(Debug, Default)]
pub struct StatusLine {
    /// How much of it is sent; `None` while no head of HTTP/1.0 is to come.
    sent: Option<usize>,
}

impl StatusLine {
    /// Such a head comes first of what is written next.
    pub fn expect(&mut self) {
        self.sent = Some(0);
    }

    /// What `bytes` begin with as it is to be sent in its place, where that is another beginning.
    pub fn replaced(&mut self, bytes: &[u8]) -> Option<&'static [u8]> {
        let sent = self.sent?;
        let is_head = bytes.starts_with(&WRITTEN[sent..]);
        // Something else, such as the end of the answer before: nothing is changed then, rather than the wrong bytes.
        if !is_head {
            self.sent = None;
        }
        is_head.then_some(&SENT[sent..])
    }

    /// So many bytes are written.
    pub fn wrote(&mut self, length: usize) {
        self.sent = self.sent.map(|sent| sent + length).filter(|sent| *sent < SENT.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_replaced_once_however_it_is_cut() {
        for cut in 1..=SENT.len() + 3 {
            let (mut line, mut sent) = (StatusLine::default(), Vec::new());
            line.expect();
            let mut rest = b"HTTP/1.0 200 OK\r\n\r\nHTTP/1.0 is old".as_slice();
            while !rest.is_empty() {
                let length = cut.min(rest.len());
                let replaced = line.replaced(rest).unwrap_or_default();
                let bytes = [replaced, &rest[replaced.len()..]].concat();
                sent.extend_from_slice(&bytes[..length]);
                line.wrote(length);
                rest = &rest[length..];
            }
            assert_eq!(sent, b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.0 is old", "{cut}");
        }
    }

    #[test]
    fn what_is_no_such_head_stays() {
        let mut line = StatusLine::default();
        assert_eq!(line.replaced(b"HTTP/1.0 200 OK"), None);
        line.expect();
        assert_eq!(line.replaced(b"the end of another answer"), None);
        assert_eq!(line.replaced(b"HTTP/1.0 200 OK"), None, "it is not known where this stands");
    }

    #[test]
    fn only_who_asks_is_kept() {
        for (value, is_kept) in
            [("keep-alive", true), ("Keep-Alive, x", true), ("close", false), ("keep-alive, close", false)]
        {
            let headers = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static(value))]);
            assert_eq!(asks_to_keep(&headers), is_kept, "{value}");
        }
        assert!(!asks_to_keep(&HeaderMap::new()));
    }
}
