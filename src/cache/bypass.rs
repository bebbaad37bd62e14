//! Why a request goes past the cache.

use crate::build::Onlooker;

/// In the order of [`Bypass::LABELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// Not GET or HEAD.
    Method,
    Authorization,
    /// `If-Match`, `If-Unmodified-Since`.
    Precondition,
    /// Next.js asks itself for a page anew.
    Revalidation,
    /// The Pages Router asks whether there is a proxy before a page.
    Prefetch,
    Development,
    /// Next.js' draft mode.
    Preview,
    /// A GET with a body.
    Content,
    /// What the request asks by is too long, or means different things to different releases of Next.js.
    Key,
    /// It is of a page that an earlier build has made, which answers it.
    EarlierBuild,
    /// A `proxy.ts` (middleware) may look at it.
    Proxy,
    /// A rule of next.config may look at it.
    Rule,
    /// Next.js chooses a language.
    Language,
}

impl Bypass {
    /// As `Cache-Status` and metrics call them.
    pub const LABELS: [&str; 13] = [
        "method",
        "authorization",
        "precondition",
        "revalidation",
        "prefetch",
        "development",
        "preview",
        "content",
        "key",
        "earlier-build",
        "proxy",
        "rule",
        "language",
    ];

    pub fn label(self) -> &'static str {
        Bypass::LABELS[self as usize]
    }
}

impl From<Onlooker> for Bypass {
    fn from(onlooker: Onlooker) -> Bypass {
        match onlooker {
            Onlooker::Proxy => Bypass::Proxy,
            Onlooker::Rule => Bypass::Rule,
            Onlooker::Language => Bypass::Language,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_order() {
        for (bypass, label) in [
            (Bypass::Method, "method"),
            (Bypass::Key, "key"),
            (Bypass::EarlierBuild, "earlier-build"),
            (Onlooker::Proxy.into(), "proxy"),
            (Onlooker::Language.into(), "language"),
        ] {
            assert_eq!(bypass.label(), label);
        }
        assert_eq!(Bypass::Language as usize + 1, Bypass::LABELS.len());
    }
}
