//! Answers that have no content by their nature go out without it, whoever made them: those to HEAD keep the length that
//! a GET would have got (RFC 9110 section 9.3.2), 204 and 304 have none.
//!
//! hyper sees to this for HTTP/1.1 alone; over HTTP/2 the content would follow, and the client break off.

use std::convert::Infallible;
use std::ops::ControlFlow;

use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, StatusCode};
use http_body::Body as _;

use super::{After, Answer, Middleware};
use crate::http::{Request, Response};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct Bodiless;

impl Middleware for Bodiless {
    type After = Relief;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<Relief>, Relief> {
        ControlFlow::Continue(Relief { is_head: request.method() == Method::HEAD })
    }
}

/// What answers to HEAD are told by.
#[derive(Debug, Clone, Copy)]
pub struct Relief {
    is_head: bool,
}

impl After for Relief {
    type InnerError = Infallible;
    type Error = Infallible;

    fn after(self, answer: Result<Response, Infallible>) -> Result<Response, Infallible> {
        let Ok(mut response) = answer;
        relieve(&mut response, self.is_head);
        Ok(response)
    }
}

/// Takes the content of `response`, where it may have none.
fn relieve(response: &mut Response, is_head: bool) {
    let has_none = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // Where there is no content now, what a GET would get is known to whoever made the answer, or to nobody.
    if !(is_head || has_none) || response.body().is_end_stream() {
        return;
    }
    let length = std::mem::take(response.body_mut()).size_hint().exact();
    if is_head
        && !has_none
        && let Some(length) = length
    {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Channel;

    use super::*;
    use crate::http::Body;

    fn relieved(status: StatusCode, body: Body, is_head: bool) -> (bool, Option<String>) {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        relieve(&mut response, is_head);
        let length = response.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().to_owned());
        (response.body().is_end_stream(), length)
    }

    #[test]
    fn the_length_stays_where_it_is_known() {
        assert_eq!(relieved(StatusCode::OK, Body::from("12345"), true), (true, Some("5".into())));
        assert_eq!(relieved(StatusCode::OK, Body::from("12345"), false), (false, None));
        assert_eq!(relieved(StatusCode::OK, Body::Empty, true), (true, None), "perhaps a GET would get some");
        let (_feed, streamed) = Channel::<bytes::Bytes, Infallible>::new(1);
        assert_eq!(relieved(StatusCode::OK, Body::boxed(streamed), true), (true, None));
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            for is_head in [true, false] {
                assert_eq!(relieved(status, Body::from("12345"), is_head), (true, None));
            }
        }
    }
}
