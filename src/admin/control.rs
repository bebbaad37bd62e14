//! What only who runs the door may ask, over a socket in the file system: to put another release in the place of the app.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};

use super::Inner;
use crate::http::{Body, Request, Response};
use crate::releases::{Order, Step};

/// `POST` with an [`Order`]; answered by a [`Step`] a line.
pub const DEPLOY: &str = "/deploy";

/// Bytes of an order.
const MAX_ORDER: usize = 4 << 10;

pub(super) async fn deploy(admin: &Inner, request: Request) -> Response {
    if request.method() != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "/deploy allows POST");
    }
    let switch = match admin.releases.get() {
        Some(Some(switch)) if admin.drain.is_running() => switch,
        Some(Some(_)) => return refused(StatusCode::SERVICE_UNAVAILABLE, "the door is being stopped"),
        Some(None) => return refused(StatusCode::CONFLICT, "this door has no releases: give it [releases] root"),
        None => return refused(StatusCode::SERVICE_UNAVAILABLE, "the door is still starting"),
    };
    let order = Limited::new(request.into_body(), MAX_ORDER).collect().await.ok();
    let order = order.and_then(|order| serde_json::from_slice::<Order>(&order.to_bytes()).ok());
    let Some(order) = order else { return refused(StatusCode::BAD_REQUEST, "this is no order") };
    match switch.begin(&order) {
        Err(why) => refused(StatusCode::CONFLICT, &why),
        Ok(told) => {
            let steps = stream::unfold(told, async |mut told| {
                let step = told.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line(&step)))), told))
            });
            lines(StatusCode::OK, Body::boxed(StreamBody::new(Box::pin(steps))))
        }
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    lines(status, Body::from(line(&Step::Failed(why.to_owned()))))
}

fn line(step: &Step) -> String {
    serde_json::to_string(step).unwrap_or_default() + "\n"
}

fn lines(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}
