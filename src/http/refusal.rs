//! Why a request is not let in. Each has one status, one sentence for the client and one label for the metrics.

use http::header::{ALLOW, HeaderValue};
use http::{HeaderName, StatusCode};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $status:ident $label:literal $sentence:literal),+ $(,)?) => {
        /// A request that is refused before any room sees it; the client is at fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $name),+
        }

        impl Refusal {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Refusal] = &[$(Refusal::$name),+];

            pub fn status(self) -> StatusCode {
                match self { $(Refusal::$name => StatusCode::$status),+ }
            }

            /// The value of the label `reason` in the metrics.
            pub fn label(self) -> &'static str {
                match self { $(Refusal::$name => $label),+ }
            }

            /// What the client is told.
            pub fn sentence(self) -> &'static str {
                match self { $(Refusal::$name => $sentence),+ }
            }
        }
    };
}

refusals! {
    RequestLine = BAD_REQUEST "request_line" "The request line is malformed.",
    /// A TLS handshake on a plain socket.
    Tls = BAD_REQUEST "tls" "This port speaks plain HTTP, not TLS.",
    Version = HTTP_VERSION_NOT_SUPPORTED "version" "Only HTTP/1.0, HTTP/1.1 and (with TLS) HTTP/2 are spoken here.",
    /// CONNECT and TRACE.
    Method = METHOD_NOT_ALLOWED "method" "This method is not allowed.",
    /// Extended CONNECT of HTTP/2 (RFC 8441) to something else than a WebSocket.
    Protocol = NOT_IMPLEMENTED "protocol" "CONNECT is for WebSockets here: no other :protocol is spoken.",
    Target = BAD_REQUEST "target" "The address in the request has characters or a form that it must not have.",
    TargetTooLong = URI_TOO_LONG "target_too_long" "The address in the request is too long.",
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE "head_too_large" "The header fields are too large.",
    TooManyHeaders = REQUEST_HEADER_FIELDS_TOO_LARGE "too_many_headers" "There are too many header fields.",
    /// No colon, a space before it, an empty or malformed name, a folded line, a control character.
    Header = BAD_REQUEST "header" "A header field is malformed.",
    BareLineFeed = BAD_REQUEST "bare_line_feed" "A line does not end with CRLF.",
    ContentLength = BAD_REQUEST "content_length" "Content-Length must be given once, as a decimal number.",
    TransferEncoding = BAD_REQUEST "transfer_encoding" "Transfer-Encoding must be given once, as \"chunked\", in HTTP/1.1.",
    /// A coding other than chunked.
    Coding = NOT_IMPLEMENTED "coding" "Only the transfer coding \"chunked\" is understood.",
    /// Content-Length and Transfer-Encoding together.
    TwoLengths = BAD_REQUEST "two_lengths" "Content-Length and Transfer-Encoding exclude each other.",
    /// Chunk sizes, their line ends, or trailer lines; or a body that ends before its length.
    Body = BAD_REQUEST "body" "The body is malformed or was cut short.",
    BodyTooLarge = PAYLOAD_TOO_LARGE "body_too_large" "The body is larger than is accepted here.",
    BodyTimeout = REQUEST_TIMEOUT "body_timeout" "The body did not arrive in time.",
    HeadTimeout = REQUEST_TIMEOUT "head_timeout" "The request did not arrive in time.",
    Expectation = EXPECTATION_FAILED "expectation" "Only the expectation \"100-continue\" is understood.",
    UpgradeWithBody = BAD_REQUEST "upgrade_with_body" "An upgrade must not have a body.",
    /// Bytes after an upgrade's head and before the answer to it.
    UpgradeTooEager = BAD_REQUEST "upgrade_too_eager" "Nothing may be sent before an upgrade is answered.",
    HostMissing = BAD_REQUEST "host_missing" "The request names no host.",
    HostTwice = BAD_REQUEST "host_twice" "The request names its host twice.",
    Host = BAD_REQUEST "host" "The host is malformed.",
    /// The host in the target, or `:authority`, is not the one in `Host`.
    HostDiffers = BAD_REQUEST "host_differs" "The request names two different hosts.",
    Scheme = BAD_REQUEST "scheme" "The request names a scheme that this connection does not have.",
    /// HTTP/2: white space around a value.
    Padding = BAD_REQUEST "padding" "A header field's value begins or ends with white space.",
    UnknownHost = MISDIRECTED_REQUEST "unknown_host" "This host is not served here.",
    /// HTTP/2: another host than the one that the TLS handshake was for.
    OtherHost = MISDIRECTED_REQUEST "other_host" "This connection was made for another host.",
}

/// What may be tried instead.
pub const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

impl Refusal {
    /// 421 means that the same client may well be served on this connection under another name; everything else is
    /// taken for an attempt to be understood differently by somebody behind the door.
    pub fn closes(self) -> bool {
        self.status() != StatusCode::MISDIRECTED_REQUEST
    }

    /// Further headers of the answer.
    pub fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Refusal::Method => vec![(ALLOW, ALLOWED)],
            _ => Vec::new(),
        }
    }
}
