//! What a caller must show: one of a few tokens, compared without telling how much of it was right.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The variable that the app finds its token in, and that this process may be given one in.
pub const VARIABLE: &str = "DOORWAY_TOKEN";

/// Nobody guesses so many characters, however often he tries.
const MIN_TOKEN_LEN: usize = 32;
const MAX_TOKEN_LEN: usize = 512;

/// The tokens that are good, at least one. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerTokens(Vec<String>);

/// Not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("there is no token in it")]
    None,
    #[error("a token has {MIN_TOKEN_LEN} to {MAX_TOKEN_LEN} characters")]
    Length,
    #[error("a token has letters, digits and -._~+/= only")]
    Character,
}

static GENERATED: LazyLock<BearerTokens> =
    LazyLock::new(|| BearerTokens::given().and_then(Result::ok).unwrap_or_else(BearerTokens::generate));

impl BearerTokens {
    /// These, the first of which is the one to hand out.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn new(texts: &[String]) -> Result<BearerTokens, BadToken> {
        // RFC 6750 section 2.1.
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        for text in texts {
            if !(MIN_TOKEN_LEN..=MAX_TOKEN_LEN).contains(&text.len()) {
                return Err(BadToken::Length);
            }
            if !text.bytes().all(is_fine) {
                return Err(BadToken::Character);
            }
        }
        if texts.is_empty() { Err(BadToken::None) } else { Ok(BearerTokens(texts.to_vec())) }
    }

    fn given() -> Option<Result<BearerTokens, BadToken>> {
        crate::settings::variable(VARIABLE).map(|text| BearerTokens::new(&[text.trim().to_owned()]))
    }

    /// What is wrong with the token that this process was given, if it was given one.
    pub fn wrong_in_environment() -> Option<BadToken> {
        BearerTokens::given()?.err()
    }

    /// That of the environment, or one that is made once a run.
    pub fn of_this_run() -> &'static BearerTokens {
        &GENERATED
    }

    fn generate() -> BearerTokens {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
        BearerTokens(vec![format!("dwt_{}", URL_SAFE_NO_PAD.encode(bytes))])
    }

    /// The one that the app gets.
    pub fn reveal(&self) -> &str {
        &self.0[0]
    }

    /// Whether `shown` is one of them. Takes as long for a wrong one as for a right one.
    pub fn accept(&self, shown: &str) -> bool {
        let shown = digest(&SHA256, shown.as_bytes());
        let is_it = |known: &String| {
            let known = digest(&SHA256, known.as_bytes());
            verify_slices_are_equal(known.as_ref(), shown.as_ref()).is_ok()
        };
        self.0.iter().fold(false, |found, known| is_it(known) | found)
    }
}

impl fmt::Debug for BearerTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BearerTokens({})", self.0.len())
    }
}

/// The token of `Authorization: Bearer TOKEN`; `Some("")` for any other authorization.
pub fn shown(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?;
    let text = value.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let is_bearer = scheme.eq_ignore_ascii_case("bearer") && values.next().is_none();
    Some(if is_bearer { token.trim() } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_them_is_accepted_and_nothing_else() {
        let (one, two) = ("a".repeat(32), "b".repeat(40));
        let tokens = BearerTokens::new(&[one.clone(), two.clone()]).unwrap();
        assert_eq!(tokens.reveal(), one);
        assert!(tokens.accept(&one) && tokens.accept(&two));
        for wrong in ["", "a", &one[1..], &two[1..]] {
            assert!(!tokens.accept(wrong), "{wrong}");
        }
        assert_eq!(format!("{tokens:?}"), "BearerTokens(2)");
    }

    #[test]
    fn what_can_be_guessed_or_cannot_be_sent_is_no_token() {
        let new = |text: &str| BearerTokens::new(&[text.to_owned()]).unwrap_err();
        assert_eq!(BearerTokens::new(&[]), Err(BadToken::None));
        assert_eq!(new("short"), BadToken::Length);
        assert_eq!(new(&"x".repeat(513)), BadToken::Length);
        assert_eq!(new(&" ".repeat(32)), BadToken::Character);
    }

    #[test]
    fn generated_ones_differ() {
        let (one, other) = (BearerTokens::generate(), BearerTokens::generate());
        assert_ne!(one, other);
        assert!(one.accept(one.reveal()) && !one.accept(other.reveal()));
        assert_eq!(BearerTokens::new(&[one.reveal().to_owned()]), Ok(one));
    }

    #[test]
    fn only_one_bearer_counts() {
        let headers = |values: &[&'static str]| {
            values.iter().map(|value| (AUTHORIZATION, http::HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        assert_eq!(shown(&headers(&[])), None);
        assert_eq!(shown(&headers(&["Bearer abc"])), Some("abc"));
        assert_eq!(shown(&headers(&["bearer  abc "])), Some("abc"));
        assert_eq!(shown(&headers(&["Basic abc"])), Some(""));
        assert_eq!(shown(&headers(&["Bearer"])), Some(""));
        assert_eq!(shown(&headers(&["Bearer a", "Bearer b"])), Some(""));
    }
}
