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

/// An error as it is told where there is no protocol message around it: with where more is said of it.
#[derive(Debug, Serialize)]
pub struct ErrorInfo<'a> {
    #[serde(flatten)]
    error: &'a AblyError,
    href: String,
}

impl<'a> From<&'a AblyError> for ErrorInfo<'a> {
    fn from(error: &'a AblyError) -> ErrorInfo<'a> {
        ErrorInfo { error, href: format!("https://help.ably.io/error/{}", error.code) }
    }
}
