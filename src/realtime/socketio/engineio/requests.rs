//! The requests of a session that polls.

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Version};
use http_body_util::BodyExt;

use super::bare;
use super::error_code::ErrorCode;
use super::transport::PollingSession;
use crate::http::{Body, Failure, Response};
use crate::realtime::link::polling::{Denied, ExchangeFault};

/// Packets, as a browser shows none of them and keeps none of them.
pub fn packets(body: impl Into<Bytes>) -> Response {
    respond("text/plain; charset=UTF-8", body.into())
}

fn respond(kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Waits for what the session has to say.
///
/// # Errors
/// [`ErrorCode`] when it is over.
pub async fn read(shared: &PollingSession) -> Result<Response, ErrorCode> {
    match shared.exchange.read() {
        Ok(reader) => reader.only().await.map(packets).ok_or_else(|| {
            // As if it had come a moment later, when the session is found no more, or by its WebSocket only.
            if shared.has_gone_over() { ErrorCode::BadRequest } else { ErrorCode::SessionUnknown }
        }),
        Err(Denied::Over) => Err(ErrorCode::SessionUnknown),
        Err(Denied::Overlap) => Ok(bare(StatusCode::BAD_REQUEST)),
    }
}

/// Gives the session what a request brings.
///
/// # Errors
/// [`ErrorCode`] when it is over, [`Failure`] when the body broke off.
pub async fn write(
    shared: &PollingSession,
    request: &Parts,
    body: Body,
) -> Result<Result<Response, ErrorCode>, Failure> {
    let post = match shared.exchange.post() {
        Ok(post) => post,
        Err(Denied::Over) => return Ok(Err(ErrorCode::SessionUnknown)),
        Err(Denied::Overlap) => return Ok(Ok(bare(StatusCode::BAD_REQUEST))),
    };
    // The third version's binary bodies.
    if request.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream") {
        shared.exchange.fail(ExchangeFault::Content);
        return Ok(Ok(bare(StatusCode::BAD_REQUEST)));
    }
    let most = shared.config.max_payload.bytes();
    let Ok(body) = post.receive(collect(request, body, most)).await else {
        return Ok(Err(ErrorCode::SessionUnknown));
    };
    let Some(body) = body? else {
        post.withdraw();
        let mut response = bare(StatusCode::PAYLOAD_TOO_LARGE);
        if request.version < Version::HTTP_2 {
            // Its rest is not read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        return Ok(Ok(response));
    };
    Ok(match post.give(body).await {
        // Some browsers would offer plain text to be saved to a file.
        Ok(()) => Ok(respond("text/html", Bytes::from_static(b"ok"))),
        Err(_) => Err(ErrorCode::BadRequest),
    })
}

/// The whole body; `None` when it is longer than `most`.
async fn collect(request: &Parts, mut body: Body, most: usize) -> Result<Option<Bytes>, Failure> {
    let told = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > most) {
        return Ok(None);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broke = |error| Failure::client(StatusCode::BAD_REQUEST, "The body broke off.").detail(error).closing();
        let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > most {
            return Ok(None);
        }
        if first.is_empty() {
            // Most bodies are one piece.
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(told.unwrap_or_default().saturating_sub(first.len()).max(data.len()));
        }
        all.extend_from_slice(&data);
    }
    if all.is_empty() {
        return Ok(Some(first));
    }
    let mut whole = BytesMut::with_capacity(first.len() + all.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&all);
    Ok(Some(whole.freeze()))
}
