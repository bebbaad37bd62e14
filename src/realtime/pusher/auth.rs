//! `/pusher/auth` and `/pusher/user-auth`, answered by Doorway: what the app said of a connection when it connected is
//! signed, so that no route need be written. A signature is good for one connection alone, whoever fetches it.

use std::sync::Arc;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::config::Auth;
use super::machine::{PusherApp, value};
use super::name;
use super::{DIALECT, PusherDoor};
use crate::http::query::parameter;
use crate::http::{Body, Facts, Failure, Request, Response};
use crate::realtime::entrance::authorizer::ConnectionInfo;
use crate::realtime::entrance::cors::Cors;
use crate::realtime::entrance::{self, facts};
use crate::realtime::vocabulary::{Channel, Command, ConnectionId, Identity, JsonWriter, Refusal, Subscribe};

/// The longest form that is read, in bytes.
const MAX_FORM: usize = 16 * 1024;

impl PusherDoor {
    /// Signs for a client that wants into a channel, or wants to be a user.
    ///
    /// # Errors
    /// 400, 403, 405; 503 where the app is to be asked and cannot be.
    pub(super) async fn auth(
        &self,
        config: &entrance::Config,
        request: Request,
        is_user: bool,
    ) -> Result<Response, Failure> {
        let (request, body) = request.into_parts();
        let facts = facts(&request)?;
        let from = self.entrance.check_origin(&config.origins, &request.headers, &facts)?;
        if let Some(response) = Cors::GET_POST.preflight(&request, &from) {
            return Ok(response);
        }
        if request.method != Method::POST {
            let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, "Use POST for this.");
            return Err(failure.header(ALLOW, HeaderValue::from_static("POST, OPTIONS")));
        }
        let bad = |what: &'static str| Failure::client(StatusCode::BAD_REQUEST, what);
        let no = |what: &'static str| Failure::client(StatusCode::FORBIDDEN, what);
        let body =
            Limited::new(body, MAX_FORM).collect().await.map_err(|_| bad("The form cannot be read."))?.to_bytes();
        let form = std::str::from_utf8(&body).map_err(|_| bad("The form is not UTF-8."))?;
        let field = |key| parameter(Some(form), key);
        let app =
            self.signer(field("app_key").as_deref()).ok_or_else(|| no("No app of this key is signed for here."))?;
        let socket_id = field("socket_id").ok_or_else(|| bad("The form has no socket_id."))?;
        let connection = name::connection(&socket_id).ok_or_else(|| bad("This is no socket_id."))?;
        // It may be at another door.
        let away = |_| Failure::us(StatusCode::SERVICE_UNAVAILABLE, "A door does not answer: try again.");
        let channel = field("channel_name").and_then(|channel| app.channel(&channel));
        let found = self.hub.find_connection(connection, channel.as_ref()).await.map_err(away)?;
        let hears = found.as_ref().is_some_and(|found| found.hears);
        let identity = found
            .and_then(|found| found.identity)
            .ok_or_else(|| no("No identity for this connection: answer `connect` with a user, or send a token."))?;
        let app_settings = app.settings();
        let key = app_settings.keys.first().ok_or_else(|| no("The app has no key."))?;
        let prefix = &*app_settings.prefix;
        let user = identity.user.strip_prefix(prefix).unwrap_or(&identity.user);
        let json = if is_user {
            let data = about(user, &identity, "id");
            let signature = key.sign(&[socket_id.as_bytes(), b"::user::", data.as_bytes()]);
            let mut json = JsonWriter::object(96 + data.len());
            json.plain_text("auth", format_args!("{}:{signature}", key.id()));
            json.text("user_data", &data);
            json.end()
        } else {
            let channel = field("channel_name").ok_or_else(|| bad("The form has no channel_name."))?;
            let in_hub = app.channel(&channel).ok_or_else(|| bad("This is no name of a channel."))?;
            if channel.starts_with("private-encrypted-") {
                return Err(no("Only the app has the key of encrypted channels: it signs for them itself."));
            }
            if self.hub.is_for_app_alone(&in_hub) {
                return Err(no("Only the app lets clients into this channel."));
            }
            let is_let_in = self.has_consent(connection, (&request, &facts), &identity, &in_hub).await?
                || self.entrance.token_lists(&request, &identity, &in_hub);
            if !is_let_in && !hears && self.hub.is_kept_from_strangers(&in_hub) {
                return Err(no("The app has not let this connection into this channel."));
            }
            let data = channel.starts_with("presence-").then(|| about(user, &identity, "user_id"));
            let (between, signed) = data.as_ref().map_or(("", ""), |data| (":", data.as_str()));
            let parts = [&*socket_id, ":", &*channel, between, signed].map(str::as_bytes);
            let signature = key.sign(&parts);
            let mut json = JsonWriter::object(96);
            json.plain_text("auth", format_args!("{}:{signature}", key.id()));
            if let Some(data) = data {
                json.text("channel_data", &data);
            }
            json.end()
        };
        let mut response = Response::new(Body::from(json));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Cors::GET_POST.share(response.headers_mut(), &from);
        Ok(response)
    }

    /// Whether the app, where it is asked about such, has said that the connection may hear the channel.
    ///
    /// # Errors
    /// 403 where it has said no, 503 where it cannot be asked.
    async fn has_consent(
        &self,
        connection: ConnectionId,
        (request, facts): (&Parts, &Facts),
        identity: &Arc<Identity>,
        channel: &Channel,
    ) -> Result<bool, Failure> {
        if !self.app.has_callbacks() {
            return Ok(false);
        }
        let wish = Command::Subscribe(Subscribe::to(channel.clone()));
        let info = Arc::new(ConnectionInfo::of(connection, DIALECT, request, facts, request.headers.clone()));
        let asking = self.entrance.authorizer().authorize(&info, Some(identity), &wish);
        let Some(asking) = asking else { return Ok(false) };
        let outcome = asking.await.outcome.map(|_| true);
        outcome.map_err(|refusal| match refusal {
            Refusal::Unavailable | Refusal::TooMany { .. } => {
                Failure::us(StatusCode::SERVICE_UNAVAILABLE, "The app cannot be asked just now: try again.")
            }
            refusal => Failure::client(StatusCode::FORBIDDEN, refusal.to_string()),
        })
    }

    /// The app of `key` if Doorway signs for it; the first such without a key.
    fn signer(&self, key: Option<&str>) -> Option<Arc<PusherApp>> {
        match key {
            Some(key) => self.apps.by_key(key).filter(|app| app.settings().auth == Auth::Doorway),
            None => self.apps.all().into_iter().find(|app| app.settings().auth == Auth::Doorway),
        }
    }
}

/// What is told of a user: the id under `key`, and what others may know.
fn about(user: &str, identity: &Identity, key: &str) -> String {
    let mut json = JsonWriter::object(32 + user.len());
    json.text(key, user);
    if let Some(info) = &identity.info {
        json.json("user_info", &value(info));
    }
    json.end()
}
