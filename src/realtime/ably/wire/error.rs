//! Errors as the protocol has them: a code, the HTTP status that it is like, and words.

use serde::{Deserialize, Serialize};

/// An error that a client is told: its `code` says what to do, `status` is as HTTP has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AblyError {
    pub code: u32,
    #[serde(rename = "statusCode")]
    pub status: u16,
    pub message: String,
}

impl AblyError {
    pub fn new(code: u32, status: u16, message: impl Into<String>) -> AblyError {
        AblyError { code, status, message: message.into() }
    }
}
