//! Where a client shows its token: in `Authorization`, in the query, or among the subprotocols of a WebSocket, since a
//! page can give its socket no headers.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;

use super::TokenError;
use crate::realtime::link::websocket::Offer;

/// What a subprotocol that carries a token begins with: `new WebSocket(url, ["doorway", "bearer." + token])`. The other
/// is what the door agrees to.
const SUBPROTOCOL: &str = "bearer.";

/// The subprotocol that is agreed to. A browser that offers some closes the socket when none is chosen; here they mean
/// nothing, and one that carries a token is not said aloud where there is another.
pub fn subprotocol(offer: &Offer) -> Option<&str> {
    let other = offer.protocols().find(|protocol| !protocol.starts_with(SUBPROTOCOL));
    other.or_else(|| offer.protocols().next())
}

/// The token of a request; `parameter` is its name in the query.
///
/// # Errors
/// [`TokenError::Several`] where it shows two: which one is meant is not guessed.
pub fn presented(request: &Parts, parameter: &str) -> Result<Option<String>, TokenError> {
    let in_header = request.headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let in_query = request.uri.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| {
        let (key, token) = pair.split_once('=')?;
        // A token is letters, digits, dots, dashes and underscores: nothing of it is ever encoded.
        (key == parameter && !token.is_empty()).then(|| token.to_owned())
    });
    let protocols = request.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let in_protocols = protocols
        .flat_map(|value| value.split(','))
        .filter_map(|protocol| protocol.trim().strip_prefix(SUBPROTOCOL).map(str::to_owned));
    let mut all = in_header.chain(in_query).chain(in_protocols);
    let first = all.next();
    match all.next() {
        Some(_) => Err(TokenError::Several),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(uri: &str, headers: &[(&str, &str)]) -> Result<Option<String>, TokenError> {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        presented(&request.body(()).unwrap().into_parts().0, "token")
    }

    #[test]
    fn a_token_is_shown_in_one_of_three_places() {
        let (header, protocol) =
            (("authorization", "Bearer a.b.c"), ("sec-websocket-protocol", "doorway, bearer.a.b.c"));
        let token = Ok(Some("a.b.c".to_owned()));
        assert_eq!(shown("/x", &[]), Ok(None));
        assert_eq!(shown("/x?since=1&token=a.b.c", &[]), token);
        assert_eq!(shown("/x", &[header]), token);
        assert_eq!(shown("/x", &[protocol]), token);
        assert_eq!(
            shown("/x?token=", &[("authorization", "Basic eA=="), ("sec-websocket-protocol", "chat")]),
            Ok(None)
        );
        for (uri, headers) in [("/x?token=a", &[header][..]), ("/x?token=a&token=b", &[]), ("/x", &[header, protocol])]
        {
            assert_eq!(shown(uri, headers), Err(TokenError::Several), "{uri} {headers:?}");
        }
    }
}
