//! From the bytes of a plain head to a request of the house, as hyper would make it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::http::Body;
use crate::http::field_line::{self, Lines};

/// The request, and whether it is one for a head alone. `None` where hyper might see it in another way.
pub fn request(head: &[u8]) -> Option<(Request<Body>, bool)> {
    // All parts of the request share this one piece of memory.
    let bytes = Bytes::copy_from_slice(head.strip_prefix(b"\r\n").unwrap_or(head));
    let count = memchr::memchr_iter(b'\n', &bytes).count().checked_sub(2)?;
    let mut lines = Lines::of(&bytes);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let method = Method::from_bytes(method).ok()?;
    let uri = Uri::from_maybe_shared(bytes.slice_ref(target)).ok()?;
    let mut headers = HeaderMap::with_capacity(count);
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = field_line::read(line)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()?;
        headers.append(HeaderName::from_bytes(name).ok()?, value);
    }
    let is_head = method == Method::HEAD;
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Some((request, is_head))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::{Limits, Next, RequestValidator};
    use super::*;

    const LIMITS: Limits = Limits { head: 12 * 1024, headers: 100, target: 8 * 1024 };

    /// What hyper's parser makes of it, by the types that hyper makes.
    fn expected(head: &[u8]) -> (Method, Uri, Vec<(HeaderName, HeaderValue)>) {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        assert!(parsed.parse(head).unwrap().is_complete());
        let pair = |header: &httparse::Header<'_>| {
            (header.name.parse().unwrap(), HeaderValue::from_bytes(header.value).unwrap())
        };
        let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(parsed.path.unwrap().as_bytes())).unwrap();
        (parsed.method.unwrap().parse().unwrap(), uri, parsed.headers.iter().map(pair).collect())
    }

    proptest! {
        /// Whatever the guard takes for plain is the same request here and behind hyper's parser.
        #[test]
        fn a_plain_head_is_read_as_hyper_reads_it(
            text in "(\r\n|)(GET|HEAD|POST|BREW) (/[!-~]{0,9}|http://a.test/[!-~]{0,4}) HTTP/1.1\r\n(Host: a\r\n|)([!-~]{1,6}:[\t -~\u{80}-\u{ff}]{0,9}\r\n){0,5}\r\n"
        ) {
            let mut guard = RequestValidator::new(LIMITS);
            guard.offer(true);
            if let Next::Offer(length) = guard.inspect(text.as_bytes()).next {
                prop_assert_eq!(length, text.len());
                let (method, uri, headers) = expected(text.as_bytes());
                let (request, is_head) = request(text.as_bytes()).expect("a request");
                prop_assert_eq!(is_head, method == Method::HEAD);
                prop_assert_eq!((request.method(), request.uri()), (&method, &uri));
                let mut wanted = HeaderMap::new();
                for (name, value) in headers {
                    wanted.append(name, value);
                }
                prop_assert_eq!(request.headers(), &wanted);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = request(&bytes);
        }
    }
}
