//! The authorizer of every client: it judges tokens itself, and has the app judge all else.

use std::sync::Arc;

use super::app_authorizer::AppAuthorizer;
use super::entrance::authorizer::{Allow, Authorizer, ConnectionInfo, Deciding, Decision, Left};
use super::entrance::token::{TokenError, Tokens};
use super::vocabulary::{Command, Identity, Inquiry, Moment, Refusal};

/// The authorizer of all clients: it checks tokens itself, and asks the app by callbacks about all else.
pub struct TokenAuthorizer {
    tokens: Arc<Tokens>,
    app: AppAuthorizer,
}

impl TokenAuthorizer {
    pub fn new(tokens: Arc<Tokens>, app: AppAuthorizer) -> TokenAuthorizer {
        TokenAuthorizer { tokens, app }
    }

    /// Another token for the same client: it may change what he may do and for how long, but not who he is.
    fn renew(&self, token: &str, identity: Option<&Arc<Identity>>) -> Result<Allow, Refusal> {
        let malformed = |error: TokenError| Refusal::Malformed(error.to_string().into());
        let (grant, rights) = self.tokens.check(token, Moment::now().instant).map_err(malformed)?;
        let named = grant.identity.as_ref().map(|identity| &identity.user);
        if named.is_some() && named != identity.map(|identity| &identity.user) {
            return Err(malformed(TokenError::AnotherUser));
        }
        self.tokens.metrics.renewed.inc();
        Ok(Allow { rights: Some(rights), ..Allow::default() })
    }
}

impl Authorizer for TokenAuthorizer {
    fn authorize(
        &self,
        connection: &Arc<ConnectionInfo>,
        identity: Option<&Arc<Identity>>,
        command: &Command,
    ) -> Option<Deciding> {
        if let Command::RefreshToken { token, .. } = command {
            let outcome = self.renew(token, identity);
            return Some(Box::pin(std::future::ready(Decision { outcome, then: Vec::new() })));
        }
        self.app.authorize(connection, identity, command)
    }

    fn ask_clients(&self, connection: &Arc<ConnectionInfo>, identity: Option<&Arc<Identity>>, inquiry: Inquiry) {
        self.app.ask_clients(connection, identity, inquiry);
    }

    fn disconnected(&self, connection: &Arc<ConnectionInfo>, identity: Option<&Arc<Identity>>, left: Left) {
        self.app.disconnected(connection, identity, left);
    }
}
