//! What to do about clients that are not let in, said once a minute a cause: a page hears no more than "1006".

use http::HeaderMap;
use http::header::ORIGIN;
use tracing::warn;

use super::token::TokenError;
use crate::http::{Facts, Failure};
use crate::telemetry::LogThrottle;

/// When each cause was last said.
#[derive(Debug, Default)]
pub struct Remedies {
    foreign: LogThrottle,
    misjudged: LogThrottle,
    unsaid: LogThrottle,
    missing: LogThrottle,
    not_good: LogThrottle,
}

impl Remedies {
    /// A client whose `Origin` is not let in, for the reason of `failure`.
    pub fn origin(&self, headers: &HeaderMap, facts: &Facts, failure: &Failure) {
        let Some(origin) = headers.get(ORIGIN) else {
            if self.unsaid.may() {
                let help = "[realtime] require_origin is on: only browsers say an origin";
                warn!(client = %facts.client, help, "a client without an Origin was refused");
            }
            return;
        };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let site = format!("{}://{}", facts.scheme, facts.authority);
        let host = |text: &str| text.parse::<http::Uri>().ok().and_then(|uri| Some(uri.host()?.to_ascii_lowercase()));
        if host(&origin).is_some_and(|host| host == facts.authority.host().to_ascii_lowercase()) {
            // The same name by another scheme or port: somebody between changes what the door hears.
            if self.misjudged.may() {
                let help = format!(
                    "the site is known here as {site}: name the proxy before the door in [listen] trusted_proxies and have it \
                     send X-Forwarded-Proto and X-Forwarded-Host, or let the page in: [realtime] origins = [{origin:?}]"
                );
                warn!(%origin, client = %facts.client, help, reason = %failure.reason, "a socket of the site itself was refused");
            }
        } else if self.foreign.may() {
            let help = format!("if pages of that site may connect: [realtime] origins = [{origin:?}]");
            warn!(%origin, client = %facts.client, help, reason = %failure.reason, "a socket of another site's page was refused");
        }
    }

    /// A client whose token is not believed.
    pub fn token(&self, error: TokenError) {
        match error {
            TokenError::Missing if self.missing.may() => {
                let help = "[realtime.tokens] required is on: clients show one as ?token=..., in Authorization: Bearer, or as a subprotocol";
                warn!(help, "a client without a token was refused");
            }
            // It is the client's part to get another.
            TokenError::Missing | TokenError::Expired => {}
            error if self.not_good.may() => {
                let help = "compare [realtime.tokens] (key, algorithm, issuer, audience) with what signs them";
                warn!(reason = %error, help, "a client's token was refused");
            }
            _ => {}
        }
    }
}
