//! How Pusher Channels writes what it tells: batches, signed by the app's first key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::realtime::pusher::machine::PusherApp;
use crate::realtime::webhooks::WebhookEnvelope;

/// Events in one request.
const MAX_BATCH: usize = 100;
/// How long the first of a batch waits for others.
const GATHER_INTERVAL: Duration = Duration::from_millis(50);

/// Batches of an app.
pub struct AppEnvelope(pub Arc<PusherApp>);

impl WebhookEnvelope for AppEnvelope {
    fn most(&self) -> usize {
        MAX_BATCH
    }

    fn gathers(&self) -> Duration {
        GATHER_INTERVAL
    }

    fn deadline(&self) -> Duration {
        self.0.settings().webhook_deadline
    }

    fn body(&self, events: &[Value], unix_ms: u64) -> Bytes {
        json!({ "time_ms": unix_ms, "events": events }).to_string().into()
    }

    fn headers(&self, _id: &str, body: &Bytes) -> Result<HeaderMap, String> {
        let settings = self.0.settings();
        let key = settings.keys.first().ok_or("the app has no key")?;
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-pusher-key", key.id()), ("x-pusher-signature", &key.sign(&[&**body]))] {
            let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }
}
