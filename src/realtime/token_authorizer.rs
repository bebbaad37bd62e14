//! The gate of every client: it judges tokens itself, and has the app judge all else.

use std::sync::Arc;

use super::app_authorizer::Callbacks;
use super::entrance::authorizer::{Asking, Consent, Departure, Gate, Verdict, Visitor};
use super::entrance::token::{TokenError, Tokens};
use super::vocabulary::{Command, Identity, Inquiry, Moment, Refusal};

pub struct Doorman {
    tokens: Arc<Tokens>,
    callbacks: Callbacks,
}

impl Doorman {
    pub fn new(tokens: Arc<Tokens>, callbacks: Callbacks) -> Doorman {
        Doorman { tokens, callbacks }
    }

    /// Another token for the same client: it may change what he may do and for how long, but not who he is.
    fn renew(&self, token: &str, identity: Option<&Arc<Identity>>) -> Result<Consent, Refusal> {
        let malformed = |error: TokenError| Refusal::Malformed(error.to_string().into());
        let (grant, rights) = self.tokens.check(token, Moment::now().instant).map_err(malformed)?;
        let named = grant.identity.as_ref().map(|identity| &identity.user);
        if named.is_some() && named != identity.map(|identity| &identity.user) {
            return Err(malformed(TokenError::AnotherUser));
        }
        self.tokens.numbers.renewed.inc();
        Ok(Consent { rights: Some(rights), ..Consent::default() })
    }
}

impl Gate for Doorman {
    fn ask(&self, visitor: &Arc<Visitor>, identity: Option<&Arc<Identity>>, command: &Command) -> Option<Asking> {
        if let Command::Renew { token, .. } = command {
            let outcome = self.renew(token, identity);
            return Some(Box::pin(std::future::ready(Verdict { outcome, then: Vec::new() })));
        }
        self.callbacks.ask(visitor, identity, command)
    }

    fn pose(&self, visitor: &Arc<Visitor>, identity: Option<&Arc<Identity>>, inquiry: Inquiry) {
        self.callbacks.pose(visitor, identity, inquiry);
    }

    fn gone(&self, visitor: &Arc<Visitor>, identity: Option<&Arc<Identity>>, departure: Departure) {
        self.callbacks.gone(visitor, identity, departure);
    }
}
