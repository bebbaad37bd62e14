//! Which pages of a build of Next.js are made before anybody asks for them, and what looks at a request before it gets one:
//! a `proxy.ts` (middleware), a rule of next.config with `has` or `missing`, the choice of a language. No answer tells that
//! something looked, so the build's own manifests say for which paths it may.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use fancy_regex::Regex;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::read_json;

/// Steps that a pattern may take; one that takes more fits.
const MAX_STEPS: usize = 10_000;

/// What looks at requests for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onlooker {
    /// `proxy.ts`, `middleware.ts`.
    Proxy,
    /// A rule of next.config that asks for a header or a cookie, or that writes `Cache-Control` or the like by itself.
    Rule,
    /// Next.js' choice of a language.
    Language,
}

impl Onlooker {
    /// In a word, for `Cache-Status` and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Onlooker::Proxy => "proxy",
            Onlooker::Rule => "rule",
            Onlooker::Language => "language",
        }
    }
}

/// What the manifests of one build say.
#[derive(Debug, Default)]
pub struct Prerendered {
    base_path: String,
    /// Below the base path, as the build spells them.
    pages: HashSet<String>,
    patterns: Vec<Regex>,
    onlookers: Vec<(Onlooker, Regex)>,
    /// `/` is given by what the browser says it reads.
    chooses_language: bool,
    locales: Vec<String>,
}

/// How many pages and patterns of pages a build has, and how many of them something looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageCounts {
    pub all: usize,
    pub proxy: usize,
    pub rule: usize,
    pub language: usize,
}

impl Prerendered {
    /// Reads the manifests of the build in `dist`. Blocks.
    ///
    /// # Errors
    /// Where one is missing, or says what is not understood: then nothing is known of any path.
    pub fn read(dist: &Path) -> io::Result<Prerendered> {
        let routes = read_json(&dist.join("routes-manifest.json"))?;
        let mut read = Prerendered {
            base_path: routes["basePath"].as_str().unwrap_or_default().to_owned(),
            ..Prerendered::default()
        };
        read.note_languages(&routes["i18n"]);
        read.note_pages(&read_json(&dist.join("prerender-manifest.json"))?)?;
        let edge = read_json(&dist.join("server/middleware-manifest.json"))?;
        let node = match read_json(&dist.join("server/functions-config-manifest.json")) {
            // Releases without it have no other middleware than the one above.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Null,
            read => read?,
        };
        let edge = edge["middleware"].as_object().into_iter().flat_map(|all| all.values());
        let all: Vec<&Value> = edge.chain([&node["functions"]["/_middleware"]]).filter(|one| !one.is_null()).collect();
        for one in &all {
            read.note_proxy(&one["matchers"])?;
        }
        if all.is_empty() && dist.join("server/middleware.js").is_file() {
            read.note_proxy(&Value::Null)?;
        }
        read.note_rules(&routes)?;
        Ok(read)
    }

    fn note_languages(&mut self, i18n: &Value) {
        self.locales = texts(&i18n["locales"]).map(str::to_owned).collect();
        self.chooses_language = !i18n.is_null() && i18n["localeDetection"] != Value::Bool(false);
    }

    fn note_pages(&mut self, manifest: &Value) -> io::Result<()> {
        // With `cacheComponents` any page may have a rest that is made for each request: only of some it is known that they
        // have none. Nothing is made yet of one that is made when it is asked for.
        let is_whole = |route: &Value| {
            let may_be_part = route["experimentalPPR"] == Value::Bool(true)
                || route["renderingMode"].as_str() == Some("PARTIALLY_STATIC");
            match route["response"].as_str() {
                Some("complete") => true,
                Some("empty") | None => !may_be_part,
                Some(_) => false,
            }
        };
        let routes = manifest["routes"].as_object().ok_or_else(|| strange("prerender-manifest.json", "routes"))?;
        let pages = routes.iter().filter(|(path, route)| !path.starts_with("/_") && is_whole(route));
        self.pages = pages.map(|(path, _)| path.clone()).collect();
        let patterns = manifest["dynamicRoutes"].as_object().into_iter().flatten();
        for (_, route) in patterns.filter(|(_, route)| is_whole(route)) {
            let pattern =
                route["routeRegex"].as_str().ok_or_else(|| strange("prerender-manifest.json", "routeRegex"))?;
            self.patterns.push(regex(pattern)?);
        }
        Ok(())
    }

    fn note_proxy(&mut self, matchers: &Value) -> io::Result<()> {
        match matchers.as_array() {
            // Conditions of a matcher are about the request: it may always fit.
            Some(matchers) => {
                for matcher in matchers {
                    let pattern = matcher["regexp"].as_str().unwrap_or("");
                    self.onlookers.push((Onlooker::Proxy, regex(pattern)?));
                }
            }
            None => self.onlookers.push((Onlooker::Proxy, regex("")?)),
        }
        Ok(())
    }

    fn note_rules(&mut self, routes: &Value) -> io::Result<()> {
        let rewrites = &routes["rewrites"];
        let stages = [rewrites, &rewrites["beforeFiles"], &rewrites["afterFiles"], &rewrites["fallback"]];
        let rewrites: Vec<&Value> = stages.into_iter().filter_map(Value::as_array).flatten().collect();
        // Where one rewrite leads, another may look.
        let is_any_conditional = rewrites.iter().any(|rule| asks_for_somebody(rule));
        let others = [&routes["redirects"], &routes["headers"], &routes["onMatchHeaders"]];
        let others = others.into_iter().filter_map(Value::as_array).flatten();
        let looking = rewrites
            .iter()
            .copied()
            .filter(|rule| is_any_conditional || asks_for_somebody(rule))
            .chain(others.filter(|rule| asks_for_somebody(rule) || decides_on_keeping(rule)));
        for rule in looking {
            let pattern = rule["regex"].as_str().ok_or_else(|| strange("routes-manifest.json", "regex"))?;
            self.onlookers.push((Onlooker::Rule, regex(pattern)?));
        }
        Ok(())
    }

    /// What may look at a request for `path`, in its canonical spelling, before it gets a page. In doubt something does.
    pub fn onlooker(&self, path: &str) -> Option<Onlooker> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if self.chooses_language && path == self.base_path {
            return Some(Onlooker::Language);
        }
        if is_internal(path) {
            return self.onlookers.first().map(|(onlooker, _)| *onlooker);
        }
        let spellings = self.spellings(if path.is_empty() { "/" } else { path });
        let fits = |pattern: &Regex| spellings.iter().any(|path| pattern.is_match(path).unwrap_or(true));
        self.onlookers.iter().find(|(_, pattern)| fits(pattern)).map(|(onlooker, _)| *onlooker)
    }

    /// The page whose data a path of the Pages Router asks for: `/about` of `/_next/data/BUILD/about.json`.
    fn page_of_data(&self, path: &str) -> Option<String> {
        let data = path.strip_prefix(&self.base_path)?.strip_prefix("/_next/data/")?;
        let (_, page) = data.split_once('/')?;
        let page = page.strip_suffix(".json")?;
        let page = if page == "index" { "" } else { page };
        Some(format!("{}/{page}", self.base_path))
    }

    /// Those by which Next.js may know it: encoded or not, with a language before it, without that of its data.
    fn spellings(&self, path: &str) -> Vec<String> {
        let mut all = vec![path.to_owned()];
        all.extend(self.page_of_data(path));
        let decoded = all.iter().map(|path| percent_decode_str(path).decode_utf8_lossy().into_owned());
        let decoded: Vec<String> = decoded.filter(|path| !all.contains(path)).collect();
        all.extend(decoded);
        let below = all.iter().filter_map(|path| path.strip_prefix(&self.base_path)).map(str::to_owned);
        let below: Vec<String> = below.collect();
        for locale in &self.locales {
            all.extend(below.iter().map(|path| format!("{}/{locale}{}", self.base_path, path.trim_end_matches('/'))));
        }
        if !self.base_path.is_empty() {
            all.extend(below);
        }
        all
    }

    /// True for a page that is made for everybody once.
    pub fn has(&self, path: &str) -> bool {
        let Some(below) = path.strip_prefix(&self.base_path) else { return false };
        let below = below.strip_suffix('/').unwrap_or(below);
        let below = if below.is_empty() { "/" } else { below };
        // The build spells a page's language out, also where visitors do not.
        let spelt = |locale: &String| self.pages.contains(&format!("/{locale}{}", below.trim_end_matches('/')));
        let is_page = self.pages.contains(below) || self.locales.iter().any(spelt);
        is_page || self.patterns.iter().any(|pattern| pattern.is_match(below).unwrap_or(false))
    }

    pub fn counts(&self) -> PageCounts {
        let mut counts = PageCounts { all: self.pages.len(), ..PageCounts::default() };
        for page in &self.pages {
            let place = match self.onlooker(&format!("{}{}", self.base_path, page)) {
                None => continue,
                Some(Onlooker::Proxy) => &mut counts.proxy,
                Some(Onlooker::Rule) => &mut counts.rule,
                Some(Onlooker::Language) => &mut counts.language,
            };
            *place += 1;
        }
        counts
    }
}

/// A spelling of the adapters of platforms for parts of a page, which Next.js may take for the page's own.
fn is_internal(path: &str) -> bool {
    [".rsc", ".action"].iter().any(|end| path.ends_with(end)) || path.contains(".segments/")
}

/// Whether a rule is for some visitors alone. Host and query are part of what an answer is kept under.
fn asks_for_somebody(rule: &Value) -> bool {
    let conditions = ["has", "missing"].into_iter().filter_map(|name| rule[name].as_array()).flatten();
    conditions.into_iter().any(|condition| !matches!(condition["type"].as_str(), Some("host" | "query")))
}

/// Whether a rule writes what says for whom an answer is, over what Next.js says of it.
fn decides_on_keeping(rule: &Value) -> bool {
    let names = rule["headers"].as_array().into_iter().flatten().filter_map(|header| header["key"].as_str());
    let deciding = ["cache-control", "cdn-cache-control", "set-cookie", "vary"];
    names.into_iter().any(|name| deciding.iter().any(|deciding| name.eq_ignore_ascii_case(deciding)))
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// A pattern of a manifest, which is one of JavaScript. Case makes no difference here: it fits rather too often.
fn regex(pattern: &str) -> io::Result<Regex> {
    let built = fancy_regex::RegexBuilder::new(&format!("(?i){pattern}")).backtrack_limit(MAX_STEPS).build();
    built.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{pattern:?}: {error}")))
}

fn strange(file: &str, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} has no {what}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A build whose manifests say so; those not named say nothing.
    fn build(manifests: &[(&str, &str)]) -> io::Result<Prerendered> {
        let dist = tempfile::tempdir().unwrap();
        fs::create_dir(dist.path().join("server")).unwrap();
        let empty = [
            ("routes-manifest.json", r#"{"basePath":"","redirects":[],"headers":[],"rewrites":{}}"#),
            ("prerender-manifest.json", r#"{"routes":{"/":{},"/blog/a":{},"/_not-found":{}},"dynamicRoutes":{}}"#),
            ("server/middleware-manifest.json", r#"{"middleware":{}}"#),
        ];
        for (file, text) in empty.iter().chain(manifests) {
            fs::write(dist.path().join(file), text).unwrap();
        }
        Prerendered::read(dist.path())
    }

    fn onlooker(manifest: (&str, &str), path: &str) -> Option<Onlooker> {
        build(&[manifest]).unwrap().onlooker(path)
    }

    #[test]
    fn a_proxy_looks_where_its_matchers_say() {
        let node = r#"{"functions":{"/_middleware":{"matchers":[{"regexp":"^(?:\\/(_next\\/data\\/[^/]{1,}))?(?:\\/((?!api\\/upload|kept|_next\\/static).*))(\\.json|\\.rsc)?[\\/#\\?]?$"}]}}}"#;
        let node = ("server/functions-config-manifest.json", node);
        for (path, expected) in [
            ("/", Some(Onlooker::Proxy)),
            ("/blog/a", Some(Onlooker::Proxy)),
            ("/KEPT", None),
            ("/kept", None),
            ("/kept/a/", None),
            ("/%6bept", Some(Onlooker::Proxy)),
            ("/api/upload", None),
        ] {
            assert_eq!(onlooker(node, path), expected, "{path}");
        }
        let edge =
            r#"{"middleware":{"/":{"matchers":[{"regexp":"^/dash(?:/.*)?$","has":[{"type":"query","key":"a"}]}]}}}"#;
        let edge = ("server/middleware-manifest.json", edge);
        for (path, expected) in [("/dash", Some(Onlooker::Proxy)), ("/Dash/x", Some(Onlooker::Proxy)), ("/d", None)] {
            assert_eq!(onlooker(edge, path), expected, "{path}");
        }
        for all in [
            ("server/middleware-manifest.json", r#"{"middleware":{"/":{}}}"#),
            ("server/functions-config-manifest.json", r#"{"functions":{"/_middleware":{"runtime":"nodejs"}}}"#),
            ("server/middleware.js", ""),
        ] {
            assert_eq!(onlooker(all, "/any"), Some(Onlooker::Proxy), "{all:?}");
        }
    }

    #[test]
    fn rules_look_that_ask_who_it_is() {
        let rule = |kind: &str, rule: &str| {
            let routes = match kind {
                "redirects" | "headers" => format!(r#"{{"{kind}":[{rule}]}}"#),
                _ => format!(r#"{{"rewrites":{{"{kind}":[{rule}]}}}}"#),
            };
            onlooker(("routes-manifest.json", &routes), "/blog/a")
        };
        for kind in ["redirects", "headers", "beforeFiles", "afterFiles", "fallback"] {
            for (conditions, expected) in [
                (r#""has":[{"type":"cookie","key":"a"}]"#, Some(Onlooker::Rule)),
                (r#""missing":[{"type":"header","key":"a"}]"#, Some(Onlooker::Rule)),
                (r#""has":[{"type":"new","key":"a"}]"#, Some(Onlooker::Rule)),
                (r#""has":[{"type":"host","value":"a"}],"missing":[{"type":"query","key":"a"}]"#, None),
                (r#""has":[]"#, None),
            ] {
                assert_eq!(
                    rule(kind, &format!(r#"{{"regex":"^/blog/a$",{conditions}}}"#)),
                    expected,
                    "{kind} {conditions}"
                );
                assert_eq!(
                    rule(kind, &format!(r#"{{"regex":"^/blog/b$",{conditions}}}"#)),
                    None,
                    "{kind} {conditions}"
                );
            }
        }
        for (name, expected) in
            [("Cache-Control", Some(Onlooker::Rule)), ("Set-Cookie", Some(Onlooker::Rule)), ("X-Frame-Options", None)]
        {
            let header = format!(r#"{{"regex":"^/blog/a$","headers":[{{"key":"{name}","value":"a"}}]}}"#);
            assert_eq!(rule("headers", &header), expected, "{name}");
        }
        let data = r#"{"redirects":[{"regex":"^/dash$","has":[{"type":"cookie","key":"a"}]},{"regex":"^/$","has":[{"type":"cookie"}]}]}"#;
        for (path, expected) in [
            ("/_next/data/b/dash.json", Some(Onlooker::Rule)),
            ("/_next/data/b/index.json", Some(Onlooker::Rule)),
            ("/_next/data/b/other.json", None),
            ("/other.rsc", Some(Onlooker::Rule)),
        ] {
            assert_eq!(onlooker(("routes-manifest.json", data), path), expected, "{path}");
        }
        // It leads to where another looks.
        let two = r#"{"regex":"^/blog/a$","destination":"/b"},{"regex":"^/b$","has":[{"type":"cookie","key":"a"}]}"#;
        assert_eq!(rule("afterFiles", two), Some(Onlooker::Rule));
    }

    #[test]
    fn a_language_is_chosen_at_the_root_and_patterns_know_it() {
        let routes = |detection: &str| {
            let matched = r#""redirects":[{"regex":"^/docs/de/shop$","has":[{"type":"cookie","key":"a"}]}]"#;
            let i18n = format!(r#""i18n":{{"locales":["en","de"],"defaultLocale":"en"{detection}}}"#);
            format!(r#"{{"basePath":"/docs",{matched},{i18n}}}"#)
        };
        for (detection, path, expected) in [
            ("", "/docs", Some(Onlooker::Language)),
            ("", "/docs/", Some(Onlooker::Language)),
            (r#","localeDetection":false"#, "/docs", None),
            ("", "/docs/about", None),
            ("", "/docs/shop", Some(Onlooker::Rule)),
            ("", "/docs/de/shop", Some(Onlooker::Rule)),
        ] {
            assert_eq!(onlooker(("routes-manifest.json", &routes(detection)), path), expected, "{path} {detection}");
        }
    }

    #[test]
    fn pages_are_those_that_are_made_whole() {
        let manifest = r#"{"routes":{"/":{},"/_not-found":{},"/ppr":{"experimentalPPR":true},"/part":{"response":"initial"},
            "/shell":{"renderingMode":"PARTIALLY_STATIC"},"/a":{"response":"complete"},"/de/lang":{},
            "/cached":{"experimentalPPR":true,"renderingMode":"PARTIALLY_STATIC","response":"complete"}},
            "dynamicRoutes":{"/blog/[slug]":{"response":"empty","routeRegex":"^/blog/([^/]+?)(?:/)?$"},
            "/new/[slug]":{"experimentalPPR":true,"response":"empty","routeRegex":"^/new/([^/]+?)(?:/)?$"}}}"#;
        let proxy = r#"{"middleware":{"/":{"matchers":[{"regexp":"^/docs/a$"}]}}}"#;
        let manifests = [
            ("routes-manifest.json", r#"{"basePath":"/docs","i18n":{"locales":["en","de"],"localeDetection":false}}"#),
            ("prerender-manifest.json", manifest),
            ("server/middleware-manifest.json", proxy),
        ];
        let read = build(&manifests).unwrap();
        for (path, expected) in [
            ("/docs", true),
            ("/docs/", true),
            ("/docs/a", true),
            ("/docs/a/", true),
            ("/docs/blog/any", true),
            ("/docs/blog/any/more", false),
            ("/docs/cached", true),
            ("/docs/lang", true),
            ("/docs/de/lang", true),
            ("/docs/new/any", false),
            ("/docs/ppr", false),
            ("/docs/shell", false),
            ("/docs/part", false),
            ("/docs/_not-found", false),
            ("/a", false),
        ] {
            assert_eq!(read.has(path), expected, "{path}");
        }
        assert_eq!(read.counts(), PageCounts { all: 4, proxy: 1, rule: 0, language: 0 });
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (file, text) in [
            ("routes-manifest.json", "{"),
            ("routes-manifest.json", r#"{"redirects":[{"has":[{"type":"cookie"}]}]}"#),
            ("routes-manifest.json", r#"{"redirects":[{"has":[{"type":"cookie"}],"regex":"("}]}"#),
            ("prerender-manifest.json", "{}"),
            ("prerender-manifest.json", r#"{"routes":{},"dynamicRoutes":{"/[a]":{}}}"#),
            ("server/middleware-manifest.json", r#"{"middleware":{"/":{"matchers":[{"regexp":"("}]}}}"#),
            ("server/functions-config-manifest.json", "no JSON"),
        ] {
            assert!(build(&[(file, text)]).is_err(), "{file} {text}");
        }
        assert!(Prerendered::read(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_pattern_that_takes_too_many_steps_fits() {
        let slow = r#"{"middleware":{"/":{"matchers":[{"regexp":"^/(?:a|a(?=a))*b$"}]}}}"#;
        let path = format!("/{}!", "a".repeat(5000));
        assert_eq!(onlooker(("server/middleware-manifest.json", slow), &path), Some(Onlooker::Proxy));
    }
}
