//! Agreeing on permessage-deflate (RFC 7692 section 7.1): offers in, at most one answer out.

use std::fmt::Write;

/// The parameters that the config allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offerable {
    /// Windows may live from message to message.
    pub context: bool,
    /// The largest window of either side, 9 to 15.
    pub window: u8,
}

/// The parameters that both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// Our window, 8 to 15. With 8 nothing is compressed by us: no compressor of ours can do it.
    pub server_window: u8,
    /// The client's window, 8 to 15.
    pub client_window: u8,
    /// We may refer to earlier messages.
    pub server_context: bool,
    /// The client may refer to earlier messages.
    pub client_context: bool,
    answer_server_window: bool,
    answer_client_window: bool,
}

/// A list of extensions that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Sec-WebSocket-Extensions cannot be read")]
pub struct Unreadable;

const NAME: &str = "permessage-deflate";

impl Agreed {
    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub fn answer(&self) -> String {
        let mut answer = NAME.to_owned();
        if !self.server_context {
            answer.push_str("; server_no_context_takeover");
        }
        if !self.client_context {
            answer.push_str("; client_no_context_takeover");
        }
        if self.answer_server_window {
            let _ = write!(answer, "; server_max_window_bits={}", self.server_window);
        }
        if self.answer_client_window {
            let _ = write!(answer, "; client_max_window_bits={}", self.client_window);
        }
        answer
    }
}

/// Chooses the first offer that can be taken as it is meant; `None` when there is none.
///
/// # Errors
/// [`Unreadable`] when a value is not a list of extensions (RFC 6455 section 9.1).
pub fn negotiate<'a>(
    values: impl Iterator<Item = &'a str>,
    offerable: Option<Offerable>,
) -> Result<Option<Agreed>, Unreadable> {
    let mut agreed = None;
    for value in values {
        let mut rest = ParameterReader(value);
        loop {
            rest.space();
            if rest.take(',') {
                continue;
            }
            if rest.0.is_empty() {
                break;
            }
            let name = rest.token()?;
            let mut offer = ExtensionOffer::new(name.eq_ignore_ascii_case(NAME));
            while rest.take(';') {
                let parameter = rest.token()?;
                let value = if rest.take('=') { Some(rest.value()?) } else { None };
                offer.parameter(parameter, value);
            }
            if !rest.0.is_empty() && !rest.0.starts_with(',') {
                return Err(Unreadable);
            }
            if agreed.is_none() {
                agreed = offerable.and_then(|offerable| offer.agree(offerable));
            }
        }
    }
    Ok(agreed)
}

/// One offer of the client. What cannot be understood makes it unacceptable, not wrong.
struct ExtensionOffer {
    acceptable: bool,
    server_no_context: bool,
    client_no_context: bool,
    server_window: Option<u8>,
    /// `Some(None)`: the client says that it can be told, and no more.
    client_window: Option<Option<u8>>,
}

impl ExtensionOffer {
    fn new(acceptable: bool) -> ExtensionOffer {
        ExtensionOffer {
            acceptable,
            server_no_context: false,
            client_no_context: false,
            server_window: None,
            client_window: None,
        }
    }

    fn parameter(&mut self, name: &str, value: Option<String>) {
        let window = value.as_deref().and_then(window);
        let understood = match name {
            "server_no_context_takeover" => !std::mem::replace(&mut self.server_no_context, true) && value.is_none(),
            "client_no_context_takeover" => !std::mem::replace(&mut self.client_no_context, true) && value.is_none(),
            "server_max_window_bits" => {
                let known = self.server_window.is_some();
                self.server_window = window;
                !known && window.is_some()
            }
            "client_max_window_bits" => {
                let known = self.client_window.is_some();
                self.client_window = Some(window);
                !known && window.is_some() == value.is_some()
            }
            _ => false,
        };
        self.acceptable &= understood;
    }

    fn agree(&self, offerable: Offerable) -> Option<Agreed> {
        if !self.acceptable {
            return None;
        }
        let server_window = self.server_window.unwrap_or(15).min(offerable.window);
        // A client that does not say that it can be told about its window must be left with the largest.
        let client_window = self.client_window.map_or(15, |most| most.unwrap_or(15).min(offerable.window));
        Some(Agreed {
            server_window,
            client_window,
            server_context: offerable.context && !self.server_no_context,
            client_context: offerable.context && !self.client_no_context,
            answer_server_window: self.server_window.is_some() || server_window < 15,
            answer_client_window: client_window < 15,
        })
    }
}

/// 8 to 15 in decimal, without leading zeros.
fn window(text: &str) -> Option<u8> {
    let is_number = matches!(text.as_bytes(), [b'8' | b'9'] | [b'1', b'0'..=b'5']);
    is_number.then(|| text.parse().ok()).flatten()
}

struct ParameterReader<'a>(&'a str);

impl<'a> ParameterReader<'a> {
    fn space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, expected: char) -> bool {
        self.space();
        match self.0.strip_prefix(expected) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn token(&mut self) -> Result<&'a str, Unreadable> {
        self.space();
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        self.space();
        if token.is_empty() { Err(Unreadable) } else { Ok(token) }
    }

    /// A token, or a quoted string whose content is one (RFC 6455 section 9.1).
    fn value(&mut self) -> Result<String, Unreadable> {
        if !self.take('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        loop {
            match characters.next().ok_or(Unreadable)? {
                (at, '"') => {
                    self.0 = &self.0[at + 1..];
                    self.space();
                    break;
                }
                (_, '\\') => value.push(characters.next().ok_or(Unreadable)?.1),
                (_, plain) => value.push(plain),
            }
        }
        if !value.is_empty() && value.chars().all(is_token) { Ok(value) } else { Err(Unreadable) }
    }
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Offerable = Offerable { context: false, window: 15 };
    const KEEPING: Offerable = Offerable { context: true, window: 15 };

    fn answer(offer: &str, offerable: Offerable) -> Option<String> {
        negotiate([offer].into_iter(), Some(offerable)).unwrap().map(|agreed| agreed.answer())
    }

    #[test]
    fn what_browsers_offer_is_agreed_to() {
        let offer = "permessage-deflate; client_max_window_bits";
        let without = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer(offer, PLAIN).as_deref(), Some(without));
        assert_eq!(answer(offer, KEEPING).as_deref(), Some("permessage-deflate"));
        assert_eq!(answer("permessage-deflate", PLAIN).as_deref(), Some(without));
    }

    #[test]
    fn nothing_is_agreed_to_that_the_config_forbids() {
        assert_eq!(negotiate(["permessage-deflate"].into_iter(), None), Ok(None));
    }

    #[test]
    fn windows_are_the_smaller_of_both() {
        let offer = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=\"11\"";
        let expected = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=11";
        assert_eq!(answer(offer, KEEPING).as_deref(), Some(expected));
        let small = Offerable { context: true, window: 10 };
        let expected = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10";
        assert_eq!(answer(offer, small).as_deref(), Some(expected));
        // Not said to be tellable: the client's window stays as it is.
        let expected = "permessage-deflate; server_max_window_bits=10";
        assert_eq!(answer("permessage-deflate", small).as_deref(), Some(expected));
        let expected = "permessage-deflate; server_max_window_bits=8";
        assert_eq!(answer("permessage-deflate; server_max_window_bits=8", KEEPING).as_deref(), Some(expected));
    }

    #[test]
    fn the_first_acceptable_offer_wins() {
        let offers = "permessage-bzip2, permessage-deflate; strange, permessage-deflate; client_no_context_takeover, \
                      permessage-deflate";
        let expected = "permessage-deflate; client_no_context_takeover";
        assert_eq!(answer(offers, KEEPING).as_deref(), Some(expected));
    }

    #[test]
    fn offers_that_cannot_be_met_are_declined() {
        for offer in [
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "x-webkit-deflate-frame",
        ] {
            assert_eq!(answer(offer, KEEPING), None, "{offer}");
        }
    }

    #[test]
    fn nonsense_is_unreadable() {
        for value in
            [";", "=", "permessage-deflate;", "permessage-deflate; a=", "a b", "a; b c", "a; b=\"", "a; b=\"\"", "\""]
        {
            assert_eq!(negotiate([value].into_iter(), Some(PLAIN)), Err(Unreadable), "{value}");
        }
        assert_eq!(negotiate(["", " , ,"].into_iter(), Some(PLAIN)), Ok(None));
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "[ -~\t]{0,64}") {
            let _ = negotiate([value.as_str()].into_iter(), Some(KEEPING));
        }
    }
}
