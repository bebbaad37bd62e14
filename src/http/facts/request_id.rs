//! The name of one request in logs on both sides.

use http::HeaderValue;
use uuid::Uuid;

/// Made here, or accepted from a trusted proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub fn new() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().simple().encode_lower(&mut buffer);
        RequestId(HeaderValue::from_str(text).expect("hexadecimal is a header value"))
    }

    /// Accepts an id of a trusted proxy: 1 to 128 visible ASCII characters.
    pub fn accept(value: &HeaderValue) -> Option<Self> {
        let fits = (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        fits.then(|| RequestId(value.clone()))
    }

    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        RequestId::new()
    }
}
