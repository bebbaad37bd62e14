//! Tokens: asked for with a key's signature or made by the app itself, and both the same signed JWTs, of which nothing is
//! kept here but what was revoked.

mod granted;
mod jwt;
mod nonces;
mod request;
mod revocation;

use std::sync::Arc;

use serde::Serialize;

pub use granted::Granted;
pub use jwt::{Claims, Envelope, MAX_TOKEN_LEN, mint};
pub use nonces::Nonces;
pub use request::TokenRequest;
pub use revocation::{Revocation, Revocations};

/// Milliseconds that a token lives which does not say so.
pub const DEFAULT_TTL_MS: u64 = 60 * 60 * 1000;

/// Milliseconds that a token lives at most: so long is remembered what was revoked.
pub const MAX_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// How far clocks may differ, in milliseconds: for so long nonces are remembered.
pub const CLOCK_WINDOW_MS: u64 = 2 * 60 * 1000;

/// A token and what it says, as who asked for it is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenDetails {
    pub token: String,
    pub key_name: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub issued: u64,
    /// Milliseconds since the Unix epoch.
    pub expires: u64,
    /// JSON in a string.
    pub capability: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}
