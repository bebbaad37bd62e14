//! Receivers of single events, each signed as Standard Webhooks says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::{DeliveryQueue, WebhookEnvelope, WebhookMetrics};
use crate::callbacks::{App, Receiver, Secret};
use crate::drain::Signal;
use crate::settings::{GivenSecret, Section};

/// Who is told, and what signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceiver {
    /// A path of the app, or an absolute URL with http or https. No default.
    pub receiver: Receiver,
    /// Default that of the callbacks.
    pub secret: Option<Secret>,
}

impl SignedReceiver {
    /// `None` where it says nowhere to tell, or signs by what is no secret; `example` is a route of an app.
    pub fn read(section: &Section, example: &str) -> Option<SignedReceiver> {
        let url: Option<String> = section.optional("url");
        let given = section.secret().ok()?;
        let Some(receiver) = url.as_deref().and_then(Receiver::read) else {
            let help = format!("as in \"{example}\" or \"https://hooks.example.com/here\"");
            let what = "a webhook needs a path of the app, or a URL with http:// or https://";
            section.problem("url", what, Some(&help));
            return None;
        };
        let secret = match given {
            None => None,
            Some(GivenSecret { key, text }) => match Secret::parse(&text) {
                Ok(secret) => Some(secret),
                Err(error) => {
                    let help = "make one with: echo whsec_$(openssl rand -base64 32)";
                    section.problem(key, error.to_string(), Some(help));
                    return None;
                }
            },
        };
        Some(SignedReceiver { receiver, secret })
    }

    /// Begins to deliver to it.
    pub fn queue(
        &self,
        app: &Arc<App>,
        deadline: Duration,
        drain: &Signal,
        metrics: &WebhookMetrics,
    ) -> Arc<DeliveryQueue> {
        let envelope = SignedEnvelope { app: Arc::clone(app), secret: self.secret.clone(), deadline };
        DeliveryQueue::start(envelope, self.receiver.clone(), (Arc::clone(app), drain.clone()), metrics.clone())
    }
}

/// One event a request.
struct SignedEnvelope {
    app: Arc<App>,
    secret: Option<Secret>,
    deadline: Duration,
}

impl WebhookEnvelope for SignedEnvelope {
    fn most(&self) -> usize {
        1
    }

    fn gathers(&self) -> Duration {
        Duration::ZERO
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn body(&self, events: &[Value], _unix_ms: u64) -> Bytes {
        events.first().map(Value::to_string).unwrap_or_default().into()
    }

    fn headers(&self, id: &str, body: &Bytes) -> Result<HeaderMap, String> {
        self.app.signed(self.secret.as_ref(), id, body)
    }
}
