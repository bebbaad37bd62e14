//! The REST API of an app's server: events, and what is in the channels.

mod answer;
mod channels;
mod events;
mod signature;
mod users;

use http::Method;
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

pub use answer::ApiError;

use crate::http::{Body, Request, Response};
use crate::realtime::pusher::PusherDoor;
use crate::realtime::pusher::machine::PusherApp;
use std::sync::Arc;
use std::time::Duration;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What an event's envelope may take besides its data, in bytes.
const ENVELOPE_LEN: usize = 64 * 1024;

impl PusherDoor {
    /// Answers a request of the server of the app `id`; `path` begins with `/apps`. What is wrong is said in the words of
    /// the protocol.
    pub(super) async fn rest(&self, request: Request, id: &str, path: &str) -> Response {
        let answer = self.rest_json(request, id, path).await;
        self.apps.count(match &answer {
            Ok(_) => 200,
            Err(error) => error.status(),
        });
        answer.map_or_else(ApiError::into_response, answer::json)
    }

    async fn rest_json(&self, request: Request, id: &str, path: &str) -> Result<String, ApiError> {
        let (head, body) = request.into_parts();
        let app = self.apps.by_id(id).ok_or_else(|| ApiError::not_found(format!("There is no app {id}")))?;
        if !app.settings().enabled {
            return Err(ApiError::forbidden("The app is disabled"));
        }
        // Before the body: who may not ask has nothing read.
        let signed = signature::check(&app.settings().keys, &head, path)?;
        let body = read(&app, body).await?;
        signed.check_body(&body)?;
        let rest: Vec<&str> = path.split('/').skip(3).collect();
        let query = signed.parameters;
        match (&head.method, &rest[..]) {
            (&Method::POST, ["events"]) => self.publish_event(&app, &body).await,
            (&Method::POST, ["batch_events"]) => self.publish_batch(&app, &body).await,
            (&Method::GET, ["channels"]) => self.list_channels(&app, &query).await,
            (&Method::GET, ["channels", name]) => self.look_at_channel(&app, &decoded(name)?, &query).await,
            (&Method::GET, ["channels", name, "users"]) => self.list_members(&app, &decoded(name)?).await,
            (&Method::POST, ["users", user, "terminate_connections"]) => {
                self.terminate_connections(&app, &decoded(user)?).await
            }
            (&Method::POST, ["users", user, "events"]) => self.publish_to_user(&app, &decoded(user)?, &body).await,
            (method, _) => Err(ApiError::not_found(format!("There is no {method} {path}"))),
        }
    }
}

fn decoded(segment: &str) -> Result<String, ApiError> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8();
    text.map(String::from).map_err(|_| ApiError::bad("The path is not UTF-8"))
}

/// Reads a body no longer than the app's limits can need: an escape may double a byte.
async fn read(app: &Arc<PusherApp>, body: Body) -> Result<bytes::Bytes, ApiError> {
    let settings = app.settings();
    let most = ENVELOPE_LEN + 2 * settings.max_event.bytes().saturating_mul(settings.max_batch.max(1));
    match timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(ApiError::too_big(format!("The request is longer than {most} bytes")))
        }
        Ok(Err(_)) => Err(ApiError::bad("The body broke off")),
        Err(_) => Err(ApiError::bad("The body took too long")),
    }
}
