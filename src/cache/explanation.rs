//! Why an address is kept or not, for people: what is known of it, and what the app says of it when asked now.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use http::Uri;
use http::header::HeaderValue;
use http::uri::Scheme;
use serde_json::{Value, json};

use super::Cache;
use super::admission::NotKept;
use super::asked::{self, Draft};
use super::fetch::Fetched;
use super::key::told;
use super::store::Slot;
use crate::build::{Onlooker, PageCounts};
use crate::http::facts::RequestId;
use crate::http::{Body, Facts, Request, path};

impl NotKept {
    /// A sentence for people.
    fn sentence(self) -> &'static str {
        match self {
            NotKept::Status => {
                "the status of the app's answer is none that is kept: 200, 301, 302, 307, 308, 404 and 410 are"
            }
            NotKept::Control => {
                "the app does not declare it to be for shared caches: Cache-Control has neither s-maxage nor public with a \
                 lifetime, or says private, no-store or no-cache; a page that Next.js makes for each request says so"
            }
            NotKept::Cookie => "the app's answer sets a cookie or asks for a sign-in",
            NotKept::Vary => "the app chooses by a header that is not in the key, or that tells people apart (Vary)",
            NotKept::Media => "the app's answer is of another kind than its address asks for",
            NotKept::Coded => "the app's answer is compressed, though it was asked for plain, or has trailers",
            NotKept::Stale => "the app gave out an old answer, and makes another right now",
            NotKept::NotNexts => {
                "the app's answer is none that Next.js keeps itself (it makes it for each request, or its own cacheHandler \
                 does not say): [cache] paths can name its path"
            }
            NotKept::Expired => {
                "the app's answer is past all use when it comes, or longer than a sixteenth of `memory`"
            }
        }
    }
}

impl Cache {
    /// What is kept of `url` (a path, or with scheme and host), and what would be: for the latter the app is asked once, as
    /// by a visitor without a cookie.
    ///
    /// # Errors
    /// A sentence, where it is no URL.
    pub async fn explain(&self, url: &str) -> Result<Value, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
        if !uri.path().starts_with('/') {
            return Err(format!("{url:?} has no path: begin with / or http"));
        }
        let now = self.now();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let answers = self.store.answers().filter(|(key, _)| {
            let (host, kept) = told(key);
            let is_host = uri.authority().is_none_or(|authority| host.ends_with(&format!("//{authority}")));
            kept == target && is_host
        });
        let mut entries: Vec<Value> = answers.map(|(key, stored)| self.entry(&key, &stored, now)).collect();
        entries.truncate(100);
        let canonical = path::canonical(uri.path());
        let (would, why) = match canonical.as_deref() {
            Err(_) => (false, "the path is none that is sent to the app".to_owned()),
            Ok(path) => match self.past(path) {
                Some(why) => (false, why),
                None => self.ask_now(&uri, entries.first().and_then(|entry| entry["host"].as_str())).await,
            },
        };
        Ok(json!({ "url": url, "kept": entries, "would_be_kept": would, "why": why }))
    }

    /// Which pages are kept though no pattern of the config fits, in a clause for people.
    pub(super) fn pages_kept(&self) -> String {
        match self.pages.of(&self.upstream) {
            _ if !self.config.get().pages => "none: [cache] pages is off".to_owned(),
            Err(unknown) => format!("none: {}", unknown.clause()),
            Ok(build) => {
                let PageCounts { all, proxy, rule, language } = build.counts();
                let kept = all - proxy - rule - language;
                let mut clause = format!("{kept} of {all} that Next.js makes before anybody asks");
                for (count, what) in [
                    (proxy, "a proxy.ts looks at"),
                    (rule, "a rule of next.config looks at"),
                    (language, "a language is chosen for"),
                ] {
                    if count > 0 {
                        clause.push_str(&format!(", {what} {count}"));
                    }
                }
                clause
            }
        }
    }

    /// Why no answer of `path`, in its canonical spelling, is kept at all.
    fn past(&self, path: &str) -> Option<String> {
        let config = self.config.get();
        if config.covers(path) {
            return None;
        }
        let why = match self.pages.of(&self.upstream) {
            _ if !config.pages => "[cache] pages is off",
            Err(unknown) => unknown.clause(),
            Ok(build) => match build.onlooker(path)? {
                Onlooker::Proxy => "a proxy.ts (middleware) of the app may look at who asks for it",
                Onlooker::Rule => {
                    "a rule of next.config may look at who asks for it (has, missing), or writes Cache-Control itself"
                }
                Onlooker::Language => "Next.js chooses a language there by who asks",
            },
        };
        Some(format!("no pattern of [cache] paths fits its path, and {why}"))
    }

    async fn ask_now(&self, uri: &Uri, host: Option<&str>) -> (bool, String) {
        let host: Option<Uri> = host.and_then(|host| host.parse().ok());
        let of = |known: fn(&Uri) -> Option<&str>| known(uri).or(host.as_ref().and_then(known)).map(str::to_owned);
        let scheme = of(Uri::scheme_str).and_then(|scheme| scheme.parse().ok()).unwrap_or(Scheme::HTTP);
        let authority = of(|uri| uri.authority().map(|authority| authority.as_str()));
        let authority = authority.unwrap_or_else(|| "localhost".to_owned()).parse();
        let Ok(authority) = authority else { return (false, "its host is none".to_owned()) };
        let mut request = Request::new(Body::Empty);
        let target = uri.path_and_query().and_then(|target| target.as_str().parse().ok());
        *request.uri_mut() = target.unwrap_or_default();
        request.extensions_mut().insert(Facts {
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            scheme,
            authority,
            forwarded_for: HeaderValue::from_static("127.0.0.1"),
            request_id: RequestId::new(),
            received: Instant::now(),
            trace: None,
        });
        let base = match asked::key(&request) {
            Ok(base) => base,
            Err(reason) => return (false, format!("such a request goes past the cache: {}", reason.label())),
        };
        let names = match self.store.slot(&base) {
            Some(Slot::Varies(names)) => names.to_vec(),
            _ => Vec::new(),
        };
        let Some(errand) = Draft::of(&request, &base, self.config.get().covers(request.uri().path()))
            .and_then(|draft| draft.errand(&names))
        else {
            return (false, "its key would be too long".to_owned());
        };
        match self.fetching(&self.config.get()).fetch(&errand).await {
            Fetched::Kept(stored, _) => {
                let left = (stored.freshness.left(self.now()) + 999).div_euclid(1000);
                (true, format!("the app declares it to be everybody's, good for {left} s from now"))
            }
            Fetched::Refused(reason) => (false, reason.sentence().to_owned()),
            Fetched::Failed => {
                (false, "the app gave no proper answer: it is away, failed, or makes a new one right now".to_owned())
            }
        }
    }
}
