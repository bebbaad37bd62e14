//! Content codings, and which of them a client accepts (RFC 9110 section 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use super::quality::quality;
use crate::settings::keywords;

/// A content coding that the door can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

keywords!(Encoding { "br" => Brotli, "zstd" => Zstd, "gzip" => Gzip });

impl Encoding {
    pub const ALL: [Encoding; 3] = [Encoding::Brotli, Encoding::Zstd, Encoding::Gzip];

    /// Its name in `Content-Encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
            Encoding::Gzip => "gzip",
        }
    }
}

/// How much a client likes each coding, in thousandths; 0 is "not at all".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    liked: [u16; 3],
    identity: u16,
    /// Identity was named, by itself or by `*`: it then competes with the codings.
    identity_named: bool,
}

impl Accepted {
    /// Reads every `Accept-Encoding` line. Without any, only identity is accepted: the door adds no coding that nobody
    /// asked for.
    pub fn of(headers: &HeaderMap) -> Accepted {
        let mut named: [Option<u16>; 3] = [None; 3];
        let (mut identity, mut any) = (None, None);
        for line in headers.get_all(ACCEPT_ENCODING) {
            let Ok(line) = line.to_str() else { continue };
            for item in line.split(',') {
                let mut parts = item.split(';');
                let name = parts.next().unwrap_or_default().trim();
                let Some(quality) = quality(parts) else { continue };
                let slot = if name == "*" {
                    &mut any
                } else if name.eq_ignore_ascii_case("identity") {
                    &mut identity
                } else if name.eq_ignore_ascii_case("br") {
                    &mut named[Encoding::Brotli as usize]
                } else if name.eq_ignore_ascii_case("zstd") {
                    &mut named[Encoding::Zstd as usize]
                } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                    &mut named[Encoding::Gzip as usize]
                } else {
                    continue;
                };
                *slot = Some(quality);
            }
        }
        // Who says `*` has named no coding that it can read (curl and scripts do): gzip everybody can.
        named[Encoding::Gzip as usize] = named[Encoding::Gzip as usize].or(any);
        Accepted {
            liked: named.map(|quality| quality.unwrap_or(0)),
            // RFC 9110: identity is acceptable unless it is excluded, by name or by `*;q=0`.
            identity: identity.or(any.filter(|quality| *quality == 0)).unwrap_or(1000),
            identity_named: identity.is_some(),
        }
    }

    pub fn accepts(&self, encoding: Encoding) -> bool {
        self.liked[encoding as usize] > 0
    }

    pub fn accepts_identity(&self) -> bool {
        self.identity > 0
    }

    /// The coding of `offered` (best first) that the client likes most; ties go to the earlier. `None` is identity.
    pub fn choose(&self, offered: &[Encoding]) -> Option<Encoding> {
        let liking = |encoding: &Encoding| self.liked[*encoding as usize];
        let most = offered.iter().map(liking).max().filter(|most| *most > 0)?;
        if self.identity_named && self.identity > most {
            return None;
        }
        offered.iter().copied().find(|encoding| liking(encoding) == most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OFFERED: [Encoding; 3] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

    fn accepted(lines: &[&str]) -> Accepted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, line.parse().unwrap());
        }
        Accepted::of(&headers)
    }

    #[test]
    fn what_a_client_says_is_what_it_gets() {
        for (line, expected) in [
            ("gzip, deflate, br, zstd", Some(Encoding::Zstd)),
            ("gzip, deflate, br", Some(Encoding::Brotli)),
            ("gzip, deflate", Some(Encoding::Gzip)),
            ("X-GZIP", Some(Encoding::Gzip)),
            ("GZip;Q=0.1", Some(Encoding::Gzip)),
            ("br;q=0.5, gzip;q=0.8", Some(Encoding::Gzip)),
            ("gzip;q=0.001", Some(Encoding::Gzip)),
            ("gzip ; q = 1.000", Some(Encoding::Gzip)),
            ("zstd;q=0, *", Some(Encoding::Gzip)),
            ("*", Some(Encoding::Gzip)),
            ("*;q=0.5", Some(Encoding::Gzip)),
            ("br;q=0.5, *;q=0.1", Some(Encoding::Brotli)),
            ("gzip;q=0, *", None),
            ("gzip;q=0", None),
            ("*;q=0", None),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=1", Some(Encoding::Gzip)),
            ("deflate, compress", None),
            ("", None),
            ("gzip;q=1.5", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;q=", None),
            ("gzipp", None),
        ] {
            assert_eq!(accepted(&[line]).choose(&OFFERED), expected, "{line:?}");
        }
        assert_eq!(accepted(&[]).choose(&OFFERED), None);
        assert_eq!(accepted(&["gzip", "br"]).choose(&OFFERED), Some(Encoding::Brotli), "two lines are one list");
    }

    #[test]
    fn identity_is_refused_only_when_it_is_excluded() {
        assert!(accepted(&["gzip"]).accepts_identity());
        assert!(accepted(&["*;q=0.3"]).accepts_identity());
        assert!(!accepted(&["gzip, identity;q=0"]).accepts_identity());
        assert!(!accepted(&["gzip, *;q=0"]).accepts_identity());
        assert!(accepted(&["identity;q=0.1, *;q=0"]).accepts_identity());
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic_and_only_offers_are_chosen(line in "[ -~]{0,60}") {
            let chosen = accepted(&[&line]).choose(&[Encoding::Gzip]);
            prop_assert!(matches!(chosen, None | Some(Encoding::Gzip)));
        }
    }
}
