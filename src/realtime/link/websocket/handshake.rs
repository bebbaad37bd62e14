//! The opening handshake (RFC 6455 section 4.2, RFC 8441 section 5), sans-io: a request in, an answer out.

use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use hyper::ext::Protocol;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Config;
use super::extension::{self, Agreed, is_token};
use crate::http::{Failure, Response};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE_TOKEN: HeaderValue = HeaderValue::from_static("Upgrade");
const SUPPORTED: HeaderValue = HeaderValue::from_static("13");

/// True when the request wants to become a WebSocket, rightly or not.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    if request.version() == Version::HTTP_2 {
        return request.extensions().get::<Protocol>().is_some();
    }
    lists(request.headers(), &UPGRADE, "websocket")
}

/// A right request for a WebSocket, and what can be agreed on.
#[derive(Debug, Clone)]
pub struct Offer {
    /// `Sec-WebSocket-Accept`; none over HTTP/2.
    accept: Option<HeaderValue>,
    protocols: Vec<String>,
    agreed: Option<Agreed>,
}

impl Offer {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Failure`], as the RFCs say: 400, 405 with `Allow`, 426 with `Upgrade` and `Sec-WebSocket-Version`, and 501 for
    /// another protocol of HTTP/2.
    pub fn read<B>(request: &Request<B>, config: &Config) -> Result<Offer, Failure> {
        let headers = request.headers();
        let is_http2 = request.version() == Version::HTTP_2;
        if is_http2 {
            check_connect(request)?
        } else {
            check_upgrade(request)?
        }
        let version = single(headers, SEC_WEBSOCKET_VERSION)?;
        if version.trim_ascii() != b"13" {
            // 426 needs `Upgrade`, which HTTP/2 does not have.
            let status = if is_http2 { StatusCode::BAD_REQUEST } else { StatusCode::UPGRADE_REQUIRED };
            return Err(upgrade_required(
                status,
                is_http2,
                "Only version 13 of the WebSocket protocol is spoken here.",
            ));
        }
        let accept = if is_http2 { None } else { Some(accept(headers)?) };
        let offers = text(headers, SEC_WEBSOCKET_EXTENSIONS)?;
        let agreed = extension::negotiate(offers.into_iter(), config.offerable());
        Ok(Offer { accept, protocols: protocols(headers)?, agreed: agreed.map_err(|error| bad(error.to_string()))? })
    }

    /// The subprotocols that the client understands, the ones it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(String::as_str)
    }

    /// The extensions that both sides agree on once this is accepted.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// The 101 response. `protocol` is one of [`Offer::protocols`], if any.
    pub fn accept(&self, protocol: Option<&str>) -> Response {
        let mut response = Response::default();
        let headers = response.headers_mut();
        if let Some(protocol) = protocol.and_then(|protocol| HeaderValue::from_str(protocol).ok()) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        if let Some(answer) = self.agreed.and_then(|agreed| HeaderValue::from_str(&agreed.answer()).ok()) {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, answer);
        }
        if let Some(accept) = &self.accept {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
            headers.insert(UPGRADE, WEBSOCKET);
            headers.insert(CONNECTION, UPGRADE_TOKEN);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        response
    }
}

/// The answer to a request that is not for a WebSocket where nothing else is spoken.
pub fn not_asked(version: Version) -> Failure {
    let is_http2 = version == Version::HTTP_2;
    let status = if is_http2 { StatusCode::BAD_REQUEST } else { StatusCode::UPGRADE_REQUIRED };
    upgrade_required(status, is_http2, "This address speaks WebSocket.")
}

fn check_upgrade<B>(request: &Request<B>) -> Result<(), Failure> {
    let headers = request.headers();
    // RFC 9110 section 7.8: in HTTP/1.0 `Upgrade` means nothing.
    if !lists(headers, &UPGRADE, "websocket") || request.version() < Version::HTTP_11 {
        return Err(not_asked(request.version()));
    }
    if request.method() != Method::GET {
        let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, "A WebSocket is opened with GET.");
        return Err(failure.header(ALLOW, HeaderValue::from_static("GET")));
    }
    if !lists(headers, &CONNECTION, "upgrade") {
        return Err(bad("Upgrade without Connection: Upgrade."));
    }
    // A body would be read as the first frames by one side and as a body by the other.
    let has_length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(bad("A request for a WebSocket has no body."));
    }
    Ok(())
}

fn check_connect<B>(request: &Request<B>) -> Result<(), Failure> {
    let protocol = request.extensions().get::<Protocol>().filter(|_| request.method() == Method::CONNECT);
    match protocol {
        Some(protocol) if protocol.as_ref().eq_ignore_ascii_case(b"websocket") => Ok(()),
        Some(_) => Err(Failure::client(StatusCode::NOT_IMPLEMENTED, "Only WebSocket is spoken here.")),
        None => Err(not_asked(Version::HTTP_2)),
    }
}

fn accept(headers: &HeaderMap) -> Result<HeaderValue, Failure> {
    let key = single(headers, SEC_WEBSOCKET_KEY)?.trim_ascii();
    if !is_key(key) {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64."));
    }
    HeaderValue::from_str(&derive_accept_key(key)).map_err(|error| bad("Sec-WebSocket-Key is wrong.").detail(error))
}

/// Sixteen bytes in base64: 22 digits, the last of which has four bits to spare, and the padding.
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==").filter(|digits| digits.len() == 22) else { return false };
    digits.iter().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'))
}

fn protocols(headers: &HeaderMap) -> Result<Vec<String>, Failure> {
    let mut protocols = Vec::new();
    for value in text(headers, SEC_WEBSOCKET_PROTOCOL)? {
        for protocol in value.split(',').map(|protocol| protocol.trim_matches([' ', '\t'])) {
            let is_known = protocols.iter().any(|known| known == protocol);
            if protocol.is_empty() || !protocol.chars().all(is_token) || is_known {
                return Err(bad("Sec-WebSocket-Protocol is not a list of different names."));
            }
            protocols.push(protocol.to_owned());
        }
    }
    Ok(protocols)
}

/// The header that must be there once (RFC 6455 section 11.3).
fn single(headers: &HeaderMap, name: HeaderName) -> Result<&[u8], Failure> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        _ => {
            let failure = bad(format!("A WebSocket handshake has one {name}."));
            Err(failure.header(SEC_WEBSOCKET_VERSION, SUPPORTED))
        }
    }
}

/// All values of a header, which must be visible ASCII.
fn text(headers: &HeaderMap, name: HeaderName) -> Result<Vec<&str>, Failure> {
    let values = headers.get_all(&name).iter().map(|value| value.to_str());
    values.collect::<Result<_, _>>().map_err(|_| bad(format!("{name} cannot be read.")))
}

/// True when the comma-separated `name` has `token`, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
}

fn bad(reason: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::client(StatusCode::BAD_REQUEST, reason)
}

fn upgrade_required(status: StatusCode, is_http2: bool, reason: &'static str) -> Failure {
    let failure = Failure::client(status, reason).header(SEC_WEBSOCKET_VERSION, SUPPORTED);
    if is_http2 { failure } else { failure.header(UPGRADE, WEBSOCKET).header(CONNECTION, UPGRADE_TOKEN) }
}
