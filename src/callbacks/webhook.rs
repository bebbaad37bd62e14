//! Webhooks: what receivers are told, whoever they are.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::receiver::ReceiverPlace;
use super::span::{CallbackSpan, WEBHOOK};
use super::{App, Receiver, Secret};
use crate::http::Body;

impl App {
    /// The headers of Standard Webhooks for one attempt: signed by `secret`, or by that of the callbacks.
    ///
    /// # Errors
    /// Never, for an id that is a header's value.
    pub fn signed(&self, secret: Option<&Secret>, id: &str, body: &[u8]) -> Result<HeaderMap, String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        let config = self.config.borrow();
        let signature = secret.unwrap_or_else(|| config.secret()).sign(id, now, body);
        let mut headers = HeaderMap::new();
        for (name, value) in [("webhook-timestamp", now.to_string()), ("webhook-signature", signature)] {
            let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }

    /// Posts `body` to `receiver`, once, on behalf of nobody. Says with which status it was answered.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn deliver(&self, receiver: &Receiver, headers: HeaderMap, body: Bytes) -> Result<StatusCode, String> {
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        let mut span = CallbackSpan::begin(self.tracer.get().begin().as_ref());
        let told = self.tell(receiver, request, &span).await;
        span.status = told.as_ref().ok().copied();
        span.end(WEBHOOK, || receiver.to_string());
        told
    }

    async fn tell(
        &self,
        receiver: &Receiver,
        mut request: http::Request<Bytes>,
        span: &CallbackSpan,
    ) -> Result<StatusCode, String> {
        let route = match &receiver.0 {
            ReceiverPlace::Route(route) => route,
            ReceiverPlace::Elsewhere(remote) => {
                span.tell(request.headers_mut());
                return self.away.tell(remote, request.map(Body::from)).await;
            }
        };
        *request.uri_mut() = Uri::from(route.clone());
        request.extensions_mut().insert(span.own_facts());
        match self.upstream.send(request.map(Body::from)).await {
            Ok(response) => Ok(response.status()),
            Err(failure) => Err(failure.detail.unwrap_or_else(|| failure.reason.into_owned())),
        }
    }
}
