//! The house rules that rustc does not hold: who may import whom, what is pure, and that names say what they are.
#![allow(clippy::unwrap_used, reason = "a test that panics says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a folder holds, from the roof down: whoever is in the list imports only what stands behind it. Entries in one
/// string are on one level, and do not know each other.
const ORDER: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "server",
            "config",
            "admin",
            "releases",
            "realtime",
            "cache",
            "files",
            "callbacks",
            "upstream",
            "http",
            "listen",
            "tls",
            "shares",
            "build",
            "telemetry",
            "drain",
            "documents",
            "disk",
            "json",
            "settings",
        ],
    ),
    (
        "realtime",
        &[
            "config drain sharing sweeper api token_authorizer",
            "app_authorizer protocols",
            "plain socketio pusher ably liveblocks yjs",
            "door webhooks",
            "session",
            "peer",
            "entrance",
            "dialect",
            "link",
            "hub",
            "broker",
            "vocabulary msgpack",
            "document",
        ],
    ),
    (
        "http",
        &[
            "layer",
            "connection",
            "config",
            "failure host_pattern routed upgrade_offer",
            "authority chunked encoding error_page path",
            "body facts field_line quality query refusal target",
        ],
    ),
    (
        "upstream",
        &[
            "process tunnel watch",
            "health send",
            "availability response_body",
            "previous",
            "pool",
            "exchange rewrite span",
            "revalidation",
            "config",
            "address connection upload",
            "hearing",
            "declarations deployment ear entry jitter metrics proof protocol sign_of_life slot socket tally",
        ],
    ),
    (
        "files",
        &[
            "metrics reply",
            "store",
            "builds entry",
            "site",
            "export",
            "conditional config disk media path previous range rules",
        ],
    ),
    (
        "cache",
        &[
            "change explanation forwarding listing warming",
            "pages",
            "asked",
            "elsewhere fetch fetches metrics reply",
            "heard",
            "making",
            "store",
            "admission status",
            "freshness",
            "announcements bypass config directives key purges variants",
        ],
    ),
    (
        "callbacks",
        &["report", "metrics", "answer config webhook", "breaker callback receiver", "remote", "sent signature span"],
    ),
    (
        "tls",
        &[
            "acme",
            "files",
            "acceptor",
            "metrics",
            "handshake",
            "fingerprint stream",
            "certificates config",
            "automatic",
            "challenges self_signed",
            "hello identity sealing",
        ],
    ),
    ("tls::acme", &["keeper", "account", "order", "directory", "client hook metrics sharing store", "schedule"]),
    (
        "realtime::hub",
        &[
            "client everywhere",
            "questions",
            "cluster",
            "directory documents publish",
            "fanout reading resting",
            "channel",
            "headcount mirror presence_log retention",
            "config flusher mailboxes",
            "direct_writer document_limits metrics policy",
            "events outbox parts presence remedy sync",
        ],
    ),
];

/// The folders of the protocols. Only the list `realtime/protocols.rs` knows them.
const PROTOCOLS: &[&str] = &["plain", "socketio", "pusher", "ably", "liveblocks", "yjs"];

/// What of a protocol others may know: how the app writes its events, by those who speak with the app.
const SHARED: &[(&str, &[&str])] =
    &[("realtime::socketio::app_format", &["realtime::app_authorizer", "realtime::api"])];

/// Without socket, clock or runtime in it: a state machine whose tests are conversations on a clock of their own.
const PURE: &[&str] = &[
    "src/realtime/plain/machine",
    "src/realtime/socketio/machine",
    "src/realtime/pusher/machine",
    "src/realtime/ably/machine",
    "src/realtime/ably/wire",
    "src/realtime/liveblocks/machine",
    "src/realtime/yjs/machine",
    "src/realtime/document/tree",
    "src/realtime/document/ydoc/rows.rs",
    "src/realtime/document/ydoc/snapshot.rs",
    "src/realtime/vocabulary",
    "src/realtime/msgpack",
    "src/http/connection/http1/request_validator.rs",
    "src/http/chunked.rs",
    "src/http/field_line.rs",
    "src/http/connection/http1/head.rs",
    "src/http/connection/http2/frames.rs",
    "src/http/connection/http2/budget.rs",
    "src/upstream/protocol",
    "src/tls/acme/schedule",
    "src/files/range.rs",
    "src/files/conditional.rs",
];

/// What is not pure.
const IMPURE: &[&str] =
    &["tokio::", "hyper::", "std::net::", "Instant::now", "SystemTime::now", "async fn", "std::fs", "std::thread"];

/// Where the clock is read for all that is pure.
const CLOCK: &str = "src/realtime/vocabulary/moment.rs";

/// Characters of a function's name, tests' too, at most.
const LONGEST_NAME: usize = 60;

/// Lines of a file without its tests, at most.
const LONGEST_FILE: usize = 450;

/// Fields of a struct, at most; but for those that list keys, metrics, or the names of a format.
const MAX_FIELDS: usize = 14;

/// All modules of the crate, by name (`realtime::hub::outbox`), with their code: without comments and tests.
struct Crate {
    modules: BTreeMap<String, Module>,
}

struct Module {
    path: PathBuf,
    code: String,
    /// What the names that it imports mean, by the last segment.
    imports: BTreeMap<String, String>,
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

/// The code of a file without comments, the contents of strings, and the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let (mut in_string, mut previous) = (false, ' ');
        for (index, char) in line.char_indices() {
            if !in_string && line[index..].starts_with("//") {
                break;
            }
            if char == '"' && previous != '\\' && previous != '\'' {
                in_string = !in_string;
            }
            if !in_string || char == '"' {
                code.push(char);
            }
            previous = char;
        }
        code.push('\n');
    }
    code
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.chars().filter(|char| !char.is_whitespace()).collect()];
    };
    let (prefix, rest) = (tree[..open].trim(), &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())]);
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for char in rest.chars() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(char);
    }
    items.push(item);
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items.flat_map(|item| expanded(item)).map(|path| format!("{prefix}{path}")).collect()
}

impl Crate {
    fn read() -> Crate {
        let mut modules = BTreeMap::new();
        for path in sources(Path::new("src")) {
            let relative = path.strip_prefix("src").unwrap().with_extension("");
            let mut name: Vec<_> =
                relative.components().map(|part| part.as_os_str().to_str().unwrap().to_owned()).collect();
            match name.last().map(String::as_str) {
                Some("main") => continue,
                Some("mod" | "lib") => drop(name.pop()),
                _ => {}
            }
            let code = code(&fs::read_to_string(&path).unwrap());
            modules.insert(name.join("::"), Module { path, code, imports: BTreeMap::new() });
        }
        let mut house = Crate { modules };
        let imports: Vec<_> = house.modules.keys().map(|name| (name.clone(), house.imports_of(name))).collect();
        for (name, imports) in imports {
            let named = imports.into_iter().filter_map(|path| Some((path.rsplit("::").next()?.to_owned(), path)));
            house.modules.get_mut(&name).unwrap().imports = named.collect();
        }
        house
    }

    /// What `use` brings into a module, as paths from the root of the crate.
    fn imports_of(&self, name: &str) -> Vec<String> {
        let uses = self.modules[name].code.split_inclusive(';').filter_map(|statement| {
            let start = statement.rfind("use ").filter(|at| {
                statement[..*at].ends_with(|char: char| char.is_whitespace())
                    || *at == 0
                    || statement[..*at].ends_with(") ")
            })?;
            Some(statement[start + 4..].trim_end_matches(';'))
        });
        uses.flat_map(expanded).filter_map(|path| self.absolute(name, &path)).collect()
    }

    /// `path` as `name` means it, from the root of the crate; `None` where it is another crate's.
    fn absolute(&self, name: &str, path: &str) -> Option<String> {
        let mut segments: Vec<&str> = path.split("::").collect();
        let mut base: Vec<&str> = name.split("::").filter(|segment| !segment.is_empty()).collect();
        match segments[0] {
            "crate" => {
                base.clear();
                segments.remove(0);
            }
            "self" => drop(segments.remove(0)),
            "super" => {
                while segments.first() == Some(&"super") {
                    base.pop();
                    segments.remove(0);
                }
            }
            first => {
                let child = base.iter().copied().chain([first]).collect::<Vec<_>>().join("::");
                self.modules.contains_key(&child).then_some(())?;
            }
        }
        base.extend(segments);
        Some(base.join("::"))
    }

    /// Every path into this crate that a module mentions, in `use` or elsewhere.
    fn mentions(&self, name: &str) -> Vec<String> {
        let module = &self.modules[name];
        let mut all: Vec<String> = module.imports.values().cloned().collect();
        for root in ["crate::", "super::", "self::"] {
            for (at, _) in module.code.match_indices(root) {
                let is_start =
                    !module.code[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_' || char == ':');
                if is_start {
                    let rest = &module.code[at..];
                    let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_' && char != ':');
                    let path = rest[..end.unwrap_or(rest.len())].trim_end_matches(':');
                    all.extend(self.absolute(name, path));
                }
            }
        }
        all
    }

    /// The module in which what `path` names is defined: re-exports are followed.
    fn home(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let segments: Vec<&str> = path.split("::").collect();
            let known = (0..=segments.len()).rev().map(|length| (length, segments[..length].join("::")));
            let Some((length, module)) = known.into_iter().find(|(_, name)| self.modules.contains_key(name)) else {
                break;
            };
            let next = segments.get(length).and_then(|item| self.modules[&module].imports.get(*item));
            match next {
                Some(next) if *next != path => {
                    let rest: String = segments[length + 1..].iter().map(|segment| format!("::{segment}")).collect();
                    path = format!("{next}{rest}");
                }
                _ => return module,
            }
        }
        path
    }

    /// Who imports whom among the children of each folder, with an example of each.
    fn arrows(&self) -> BTreeMap<String, BTreeMap<(String, String), String>> {
        let mut arrows: BTreeMap<String, BTreeMap<(String, String), String>> = BTreeMap::new();
        for (name, module) in &self.modules {
            if is_test(&module.path) {
                continue;
            }
            for path in self.mentions(name) {
                let home = self.home(&path);
                if self.modules.get(&home).is_none_or(|module| is_test(&module.path)) {
                    continue;
                }
                let (from, to): (Vec<&str>, Vec<&str>) = (name.split("::").collect(), home.split("::").collect());
                let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
                if let (Some(one), Some(other)) = (from.get(shared), to.get(shared))
                    && !one.is_empty()
                    && !other.is_empty()
                {
                    let arrow = ((*one).to_owned(), (*other).to_owned());
                    let example = format!("{} mentions {path}", module.path.display());
                    arrows.entry(from[..shared].join("::")).or_default().entry(arrow).or_insert(example);
                }
            }
        }
        arrows
    }
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_room_imports_only_rooms_below_it() {
    let arrows = Crate::read().arrows();
    let mut wrong = Vec::new();
    for (folder, order) in ORDER {
        let level = |child: &str| order.iter().position(|level| level.split(' ').any(|known| known == child));
        for ((from, to), example) in arrows.get(*folder).into_iter().flatten() {
            let (Some(one), Some(other)) = (level(from), level(to)) else {
                wrong.push(format!("{folder:?}: {from} or {to} is in no known place: add it to the order"));
                continue;
            };
            // The first line of `realtime` is what its mod.rs is made of.
            if other < one || (other == one && PROTOCOLS.contains(&from.as_str())) {
                wrong.push(format!("{example}: {to} is not below {from} in {folder:?}"));
            }
        }
    }
    report(&wrong);
}

#[test]
fn no_folder_has_a_circle_of_imports() {
    let mut wrong = Vec::new();
    for (folder, arrows) in Crate::read().arrows() {
        let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, to) in arrows.keys() {
            next.entry(from).or_default().insert(to);
        }
        for start in next.keys() {
            let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
            while let Some(child) = open.pop() {
                open.extend(next.get(child).into_iter().flatten().filter(|child| seen.insert(**child)));
            }
            if seen.contains(start) {
                let through = arrows.iter().filter(|((from, to), _)| from == start && seen.contains(to.as_str()));
                let examples: Vec<_> = through.map(|(_, example)| example.as_str()).collect();
                wrong.push(format!("{folder}: {start} imports itself by way of its siblings: {}", examples.join("; ")));
            }
        }
    }
    report(&wrong);
}

#[test]
fn protocols_are_known_by_their_list_alone() {
    let house = Crate::read();
    let mut wrong = Vec::new();
    for (name, module) in &house.modules {
        for protocol in PROTOCOLS {
            let own = format!("realtime::{protocol}");
            let is_inside = *name == own || name.starts_with(&format!("{own}::"));
            if is_inside || name == "realtime::protocols" {
                continue;
            }
            for path in house.mentions(name) {
                let is_its = path == own || path.starts_with(&format!("{own}::"));
                let may = SHARED.iter().any(|(shared, users)| {
                    path.starts_with(shared)
                        && users.iter().any(|user| name == user || name.starts_with(&format!("{user}::")))
                });
                if is_its && !may {
                    wrong.push(format!("{} mentions {path}", module.path.display()));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn hub_and_broker_know_no_protocol_by_name() {
    let words = ["plain", "pusher", "socketio", "socket.io", "engineio", "ably", "liveblocks"];
    let mut wrong = Vec::new();
    for folder in ["src/realtime/hub", "src/realtime/broker"] {
        for path in sources(Path::new(folder)) {
            let text = fs::read_to_string(&path).unwrap().to_lowercase();
            let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
            for word in words {
                if code.split(|char: char| !char.is_alphanumeric() && char != '.').any(|found| found == word) {
                    wrong.push(format!("{} names the protocol {word}", path.display()));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn what_is_pure_has_no_socket_clock_or_runtime() {
    let mut wrong = Vec::new();
    for pure in PURE {
        let path = Path::new(pure);
        let files = if path.is_dir() { sources(path) } else { vec![path.to_owned()] };
        assert!(files.iter().all(|file| file.exists()) && !files.is_empty(), "there is no {pure}");
        for file in files.iter().filter(|file| !is_test(file) && **file != Path::new(CLOCK)) {
            let code = code(&fs::read_to_string(file).unwrap());
            for impure in IMPURE.iter().filter(|impure| code.contains(**impure)) {
                wrong.push(format!("{} has {impure}", file.display()));
            }
        }
    }
    report(&wrong);
}

#[test]
fn every_protocol_has_the_same_entries() {
    for protocol in PROTOCOLS {
        for entry in ["mod.rs", "config.rs", "machine/mod.rs", "README.md"] {
            let path = Path::new("src/realtime").join(protocol).join(entry);
            assert!(path.exists(), "there is no {}", path.display());
        }
    }
    let blocks = sources(Path::new("src/realtime")).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let blocks: usize = blocks.map(|text| text.matches("\nimpl Realtime {").count()).sum();
    assert_eq!(blocks, 1, "what is a door's own belongs to its door");
}

#[test]
fn files_and_structs_stay_small() {
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")).into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = code(&text);
        let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{} has {lines} lines", path.display()));
        }
        for (at, _) in code.match_indices("struct ") {
            let Some(name) = code[at + 7..].split(|char: char| !char.is_alphanumeric()).next() else { continue };
            let rest = &code[at..];
            let Some(open) = rest.find(['{', ';', '(']).filter(|open| rest[*open..].starts_with('{')) else { continue };
            let body = &rest[open..rest.find("\n}").unwrap_or(rest.len())];
            let fields = body.lines().filter(|line| line.starts_with("    ") && line.trim_end().ends_with(',')).count();
            // As many as there are keys, metrics, or names in a format.
            let before: String = code[..at].lines().rev().take(4).collect();
            let is_list = path.ends_with("config.rs") || name == "Metrics" || before.contains("erialize");
            if fields > MAX_FIELDS && !is_list {
                wrong.push(format!("{}: {name} has {fields} fields", path.display()));
            }
        }
    }
    report(&wrong);
}

#[test]
fn test_names_are_short_sentences() {
    let mut wrong = Vec::new();
    let folders = ["src", "tests/it"].map(Path::new);
    for path in folders.iter().flat_map(|folder| sources(folder)) {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().map(str::trim_start) {
            let name =
                line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let Some(name) = name.filter(|name| name.len() > LONGEST_NAME) {
                wrong.push(format!("{}: {name} has {} characters", path.display(), name.len()));
            }
        }
    }
    report(&wrong);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources(Path::new("src"))
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "no `//!` line at the top of: {silent:?}");
}

#[test]
fn the_map_names_the_rooms_in_order() {
    let map = fs::read_to_string("src/lib.rs").unwrap();
    let named: Vec<_> = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(named, ORDER[0].1);
}

#[test]
fn the_top_level_is_closed() {
    let known = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "proxy.toml",
        "src",
        "systemd",
        "target",
        "tests",
        "proptest-regressions",
        "rustfmt.toml",
    ];
    let entries = fs::read_dir(".").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strange: Vec<_> = entries.filter(|name| !name.starts_with('.') && !known.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "the top level has {strange:?}: what it holds is agreed on");
}

/// A type that others may use is documented. The lint `missing_docs` asks the same of every field, variant and one-line
/// getter: some seven hundred, most of which would repeat their names.
#[test]
fn every_public_type_says_what_it_is() {
    let mut silent = Vec::new();
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let mut is_documented = false;
        for line in text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).map(str::trim) {
            let item =
                line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(")?.split_once(") ").map(|(_, rest)| rest));
            if let Some(item) = item
                && ["struct ", "enum ", "trait ", "type "].iter().any(|kind| item.starts_with(kind))
                && !is_documented
            {
                silent.push(format!("{}: {line}", path.display()));
            }
            // Attributes may stand between, over several lines.
            is_documented = line.starts_with("///") || is_documented && !line.is_empty() && !line.ends_with(['}', ';']);
        }
    }
    assert!(silent.is_empty(), "no `///` line above:\n{}", silent.join("\n"));
}

/// A search or a stack trace shows a type without its module: within a room its name is its own.
#[test]
fn a_public_types_name_occurs_once_in_a_room() {
    let mut seen: BTreeMap<(String, String), PathBuf> = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")).into_iter().filter(|path| !is_test(path)) {
        let room = path.components().nth(1).unwrap().as_os_str().to_str().unwrap().to_owned();
        let code = code(&fs::read_to_string(&path).unwrap());
        for line in code.lines().filter(|line| line.starts_with("pub")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(kind) = words.iter().position(|word| matches!(*word, "struct" | "enum" | "trait")) else {
                continue;
            };
            let name =
                words.get(kind + 1).map_or("", |name| name.split(|char: char| !char.is_alphanumeric()).next().unwrap());
            if matches!(name, "" | "Config" | "Metrics" | "Error" | "Machine") {
                continue;
            }
            if let Some(other) = seen.insert((room.clone(), name.to_owned()), path.clone()) {
                wrong.push(format!("{name} is in {} and in {}", other.display(), path.display()));
            }
        }
    }
    report(&wrong);
}
