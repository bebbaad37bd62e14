//! The app's own header rules (`headers()` of next.config) for files that the app does not get to see.

use fancy_regex::Regex;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tracing::warn;

/// Those of one build, in its order. `Default`: none.
#[derive(Debug, Default)]
pub struct FileRules(Vec<FileRule>);

#[derive(Debug)]
struct FileRule {
    pattern: Regex,
    /// `None`: only the app can say, because the rule looks at the request, or its headers at the path.
    headers: Option<Vec<(HeaderName, HeaderValue)>>,
}

/// The part of `routes-manifest.json` that matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Manifest {
    pub base_path: String,
    case_sensitive: bool,
    headers: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    source: String,
    regex: String,
    #[serde(default)]
    headers: Vec<RulePair>,
    #[serde(default)]
    has: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    missing: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct RulePair {
    key: String,
    value: String,
}

/// Only the app can answer this path as it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct OnlyTheApp;

/// They say how our bytes are framed; a rule cannot know.
const OURS: [HeaderName; 6] = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, TRANSFER_ENCODING, CONNECTION, ETAG];

impl FileRules {
    pub fn new(manifest: &Manifest) -> FileRules {
        FileRules(manifest.headers.iter().map(|entry| FileRule::new(entry, manifest.case_sensitive)).collect())
    }

    /// The headers for `path`; where two rules set one, the later holds, as in Next.js.
    ///
    /// # Errors
    /// [`OnlyTheApp`] when one of the rules cannot be evaluated without it.
    pub fn headers(&self, path: &str) -> Result<HeaderMap, OnlyTheApp> {
        let mut headers = HeaderMap::new();
        for rule in &self.0 {
            // A pattern that gives up is one that only the app can evaluate.
            if !rule.pattern.is_match(path).map_err(|_| OnlyTheApp)? {
                continue;
            }
            for (name, value) in rule.headers.as_ref().ok_or(OnlyTheApp)? {
                headers.insert(name, value.clone());
            }
        }
        Ok(headers)
    }
}

impl FileRule {
    fn new(entry: &Entry, case_sensitive: bool) -> FileRule {
        let flags = if case_sensitive { "" } else { "(?i)" };
        match Regex::new(&format!("{flags}{}", entry.regex)) {
            Ok(pattern) => FileRule { pattern, headers: entry.headers() },
            Err(error) => {
                warn!(source = entry.source, %error, "a headers() rule that only the app can evaluate: it gets all files");
                FileRule { pattern: Regex::new("").expect("the empty pattern"), headers: None }
            }
        }
    }
}

impl Entry {
    fn headers(&self) -> Option<Vec<(HeaderName, HeaderValue)>> {
        if !self.has.is_empty() || !self.missing.is_empty() {
            return None;
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for RulePair { key, value } in &self.headers {
            if self.mentions_parameter(key) || self.mentions_parameter(value) {
                return None;
            }
            let name = HeaderName::try_from(key).ok()?;
            if !OURS.contains(&name) {
                headers.push((name, HeaderValue::try_from(value).ok()?));
            }
        }
        Some(headers)
    }

    /// `:name` of a parameter of the source, named or numbered: Next.js puts the matched part of the path there.
    fn mentions_parameter(&self, text: &str) -> bool {
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let words = |text: &str| -> Vec<String> {
            let rests = text.split(':').skip(1);
            rests.map(|rest| rest.chars().take_while(|char| is_word(*char)).collect()).collect()
        };
        let named = words(&self.source);
        let unnamed = self.source.matches('(').count();
        words(text).iter().any(|word| {
            !word.is_empty() && (named.contains(word) || word.parse::<usize>().is_ok_and(|number| number < unnamed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: serde_json::Value) -> FileRules {
        FileRules::new(&serde_json::from_value(serde_json::json!({ "headers": entries })).unwrap())
    }

    const FILE: &str = "/_next/static/chunks/main.js";

    #[test]
    fn rules_that_match_set_their_headers_and_the_last_one_holds() {
        let rules = rules(serde_json::json!([
            { "source": "/:path*", "regex": "^(?:/((?:[^/]+?)(?:/(?:[^/]+?))*))?(?:/)?$",
              "headers": [{ "key": "X-One", "value": "1" }, { "key": "Access-Control-Allow-Origin", "value": "*" }] },
            { "source": "/((?!api).*)", "regex": "^(?:/((?!api).*))(?:/)?$", "headers": [{ "key": "x-one", "value": "2" }] },
            { "source": "/api/:path*", "regex": "^/api(?:/((?:[^/]+?)(?:/(?:[^/]+?))*))?(?:/)?$",
              "headers": [{ "key": "X-Api", "value": "1" }] },
            { "source": "/_NEXT/(.*)", "regex": "^/_NEXT(?:/(.*))(?:/)?$", "headers": [
                { "key": "Content-Length", "value": "1" }, { "key": "Link", "value": "http://cdn.test:8080/" }] },
        ]));
        let headers = rules.headers(FILE).unwrap();
        assert_eq!(headers["x-one"], "2");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["link"], "http://cdn.test:8080/");
        assert_eq!(headers.len(), 3, "{headers:?}");
    }

    #[test]
    fn what_depends_on_the_request_or_the_path_is_left_to_the_app() {
        let any = "^(?:/(.*))(?:/)?$";
        for rule in [
            serde_json::json!({ "source": "/(.*)", "regex": any, "has": [{ "type": "header", "key": "x" }], "headers": [] }),
            serde_json::json!({ "source": "/(.*)", "regex": any, "missing": [{ "type": "cookie", "key": "x" }] }),
            serde_json::json!({ "source": "/:path*", "regex": any, "headers": [{ "key": "x-path", "value": "at :path*" }] }),
            serde_json::json!({ "source": "/(.*)", "regex": any, "headers": [{ "key": "x-:0", "value": "a" }] }),
            serde_json::json!({ "source": "/(.*)", "regex": "(", "headers": [] }),
            serde_json::json!({ "source": "/(.*)", "regex": any, "headers": [{ "key": "not a name", "value": "a" }] }),
        ] {
            assert_eq!(rules(serde_json::json!([rule])).headers(FILE), Err(OnlyTheApp), "{rule}");
        }
    }
}
