//! Who asks: by a key (Basic) or a token (Bearer), in the header or the query.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Call;
use super::answer::Answer;
use crate::http::query::parameter;
use crate::realtime::ably::AblyDoor;
use crate::realtime::ably::amending::denied;
use crate::realtime::ably::apps::{Authenticated, ClientId, Credentials};
use crate::realtime::ably::capability::Operation;
use crate::realtime::ably::machine::qualified;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::vocabulary::Channel;

/// Whoever asks, and as whom.
pub struct Caller {
    pub auth: Authenticated,
    pub client_id: Option<Arc<str>>,
}

/// A key or a token as it was shown.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Key(String),
    Token(String),
}

impl Shown {
    fn find(headers: &HeaderMap, query: Option<&str>) -> Result<Shown, AblyError> {
        let missing = || AblyError::new(40101, 401, "No authentication information provided");
        let Some(header) = headers.get(AUTHORIZATION) else {
            let token = parameter(query, "access_token").or_else(|| parameter(query, "accessToken"));
            let key = || parameter(query, "key").map(Shown::Key);
            return token.map(Shown::Token).or_else(key).ok_or_else(missing);
        };
        let (scheme, value) = header.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or_else(missing)?;
        let value = value.trim();
        let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if scheme.eq_ignore_ascii_case("basic") {
            let bad = || AblyError::new(40005, 400, "Invalid Authorization: Basic has the base64 of a key");
            return decoded.map(Shown::Key).ok_or_else(bad);
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            // JWTs are shown as they are too: the dots in them are no base64.
            return Ok(Shown::Token(decoded.unwrap_or_else(|| value.to_owned())));
        }
        Err(missing())
    }
}

impl AblyDoor {
    /// # Errors
    /// 400 and 401.
    pub(super) fn caller(&self, call: &Call<'_>) -> Result<Caller, AblyError> {
        let headers = &call.head.headers;
        let shown = Shown::find(headers, call.query())?;
        let credentials = match &shown {
            Shown::Key(key) => Credentials::Key(key),
            Shown::Token(token) => Credentials::Token(token),
        };
        let auth = self.apps.authenticate(credentials, call.now)?;
        let said = match headers.get("x-ably-clientid") {
            None => None,
            Some(value) => {
                let decoded = STANDARD.decode(value.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let bad = || AblyError::new(40012, 400, "Invalid X-Ably-ClientId: it is the base64 of a clientId");
                Some(decoded.ok_or_else(bad)?)
            }
        };
        let client_id = auth.assume(said.as_deref())?;
        Ok(Caller { auth, client_id })
    }
}

impl Caller {
    /// The hub's channel that it calls `written`, where it may do `operation`.
    ///
    /// # Errors
    /// 40010, 40160.
    pub fn channel(&self, written: &str, operation: Operation) -> Result<Channel, AblyError> {
        let (channel, name) = self.named(written)?;
        if self.auth.capability.allows(operation, name) { Ok(channel) } else { Err(denied(operation)) }
    }

    /// The hub's channel that it calls `written`, and that name without what stands in brackets before it.
    ///
    /// # Errors
    /// 40010.
    pub fn named<'a>(&self, written: &'a str) -> Result<(Channel, &'a str), AblyError> {
        let (_, name) = qualified(written)?;
        Ok((self.auth.app.channel(name)?, name))
    }

    /// As whom it speaks, where it says `client_id`.
    ///
    /// # Errors
    /// 40012: as somebody that it is not.
    pub fn speaks_as(&self, client_id: Option<&str>) -> Result<Option<Arc<str>>, AblyError> {
        let wrong = |words: &str| Err(AblyError::new(40012, 400, words));
        match (client_id, &self.client_id) {
            (Some("*"), _) => wrong("Invalid clientId: * is nobody's"),
            (None, own) => Ok(own.clone()),
            (Some(said), Some(own)) if *said == **own => Ok(Some(Arc::clone(own))),
            (Some(_), Some(_)) => wrong("Invalid clientId: it is not that of the credentials"),
            (Some(said), None) if matches!(self.auth.client_id, ClientId::Any | ClientId::Free) => {
                Ok(Some(said.into()))
            }
            (Some(_), None) => wrong("Invalid clientId: the credentials are for nobody"),
        }
    }

    /// There are none: numbers are in `/metrics`.
    pub(super) fn stats(&self, call: &Call<'_>) -> Result<Answer, AblyError> {
        if self.auth.capability.allows_somewhere(Operation::Stats) {
            return Ok(call.answer(200, &[(); 0]));
        }
        Err(AblyError::new(40160, 401, "The capability does not allow stats"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn keys_and_tokens_are_shown_in_several_ways() {
        let find = |header: Option<&str>, query| {
            let value = |header| (AUTHORIZATION, HeaderValue::from_str(header).unwrap());
            Shown::find(&header.map(value).into_iter().collect(), query).map_err(|error| error.code)
        };
        let (key, token) = (|key: &str| Ok(Shown::Key(key.into())), |token: &str| Ok(Shown::Token(token.into())));
        assert_eq!(find(Some("Basic YS5iOmM="), None), key("a.b:c"));
        assert_eq!(find(Some("bearer YS5iOmM="), None), token("a.b:c"));
        assert_eq!(find(Some("Bearer eyJ.eyJ.sig"), Some("key=a.b:c")), token("eyJ.eyJ.sig"));
        assert_eq!(find(None, Some("key=a.b%3Ac")), key("a.b:c"));
        assert_eq!(find(None, Some("key=a.b:c&access_token=t")), token("t"));
        assert_eq!(find(None, Some("accessToken=t")), token("t"));
        for (header, code) in [("Basic !", 40005), ("Digest x", 40101), ("Bearer", 40101)] {
            assert_eq!(find(Some(header), None), Err(code), "{header}");
        }
        assert_eq!(find(None, Some("v=2")), Err(40101));
    }
}
