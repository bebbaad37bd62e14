//! The names that the site answers to.

use crate::settings::{Expected, Setting};

/// `example.com`, or `*.example.com` for every name below it; ports do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    Name(String),
    /// Kept with its leading dot.
    Below(String),
}

impl HostPattern {
    /// True when `host` (without a port) is meant.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            HostPattern::Name(name) => host.eq_ignore_ascii_case(name),
            HostPattern::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .and_then(|at| host.split_at_checked(at))
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
        }
    }
}

impl Setting for HostPattern {
    fn parse(value: &toml::de::DeValue) -> Result<Self, Expected> {
        let expected = || Expected("a host name without a port, as in \"example.com\" or \"*.example.com\"".into());
        let text = value.as_str().ok_or_else(expected)?;
        let (is_below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        let parsed = super::authority::parse(name.as_bytes(), &http::uri::Scheme::HTTP).map_err(|_| expected())?;
        if parsed.as_str() != name.to_ascii_lowercase() || parsed.port().is_some() {
            return Err(expected());
        }
        let name = parsed.as_str().trim_end_matches('.').to_owned();
        Ok(if is_below { HostPattern::Below(format!(".{name}")) } else { HostPattern::Name(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_covered_whole() {
        let name = HostPattern::Name("site.test".into());
        assert!(name.covers("SITE.test") && name.covers("site.test."));
        assert!(!name.covers("www.site.test") && !name.covers("evilsite.test") && !name.covers(""));
        let below = HostPattern::Below(".site.test".into());
        assert!(below.covers("www.site.test") && below.covers("a.b.site.test"));
        assert!(!below.covers("site.test") && !below.covers(".site.test") && !below.covers("evilsite.test"));
    }
}
