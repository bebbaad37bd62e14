//! The house rules that rustc does not hold: a room imports only rooms below it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the roof down, as in `src/lib.rs`.
const ROOMS: &[&str] = &[
    "doorway",
    "config",
    "admin",
    "realtime",
    "cache",
    "files",
    "app",
    "upstream",
    "http",
    "listen",
    "tls",
    "shares",
    "telemetry",
    "drain",
    "settings",
];

/// Within `realtime`, from the doors down. The files beside them (upgrade, session, …) hold them together.
const REALTIME: &[&str] = &["link", "dialect", "hub", "broker", "vocabulary"];

/// Words of dialects that hub and broker must never learn.
const DIALECTS: &[&str] = &["plain", "pusher", "socketio", "socket.io", "ably", "liveblocks"];

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
    found
}

/// The code of a file without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn room_of(path: &Path) -> String {
    let relative = path.strip_prefix("src").unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Every `prefix::name` that `code` mentions, also inside `prefix::{a, b}`.
fn mentions(code: &str, prefix: &str, name: &str) -> bool {
    if code.contains(&format!("{prefix}::{name}::")) || code.contains(&format!("{prefix}::{name};")) {
        return true;
    }
    code.split(&format!("{prefix}::{{")).skip(1).any(|rest| {
        let list = rest.split("};").next().unwrap_or_default();
        list.split([',', '{', '}', '\n']).any(|item| {
            let item = item.trim();
            item == name || item.starts_with(&format!("{name}::"))
        })
    })
}

#[test]
fn a_room_imports_only_rooms_below_it() {
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let room = room_of(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let place = ROOMS.iter().position(|known| *known == room);
        let place = place.unwrap_or_else(|| panic!("{} is in no known room: add it to the order", path.display()));
        let code = code(&path);
        for above in &ROOMS[..place] {
            if mentions(&code, "crate", above) {
                wrong.push(format!("{} imports {above}, which is above {room}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_seam_of_realtime_holds() {
    let mut wrong = Vec::new();
    for (place, room) in REALTIME.iter().enumerate() {
        for path in sources(&Path::new("src/realtime").join(room)) {
            let code = code(&path);
            for above in &REALTIME[..place] {
                if mentions(&code, "crate::realtime", above) {
                    wrong.push(format!("{} imports realtime::{above}", path.display()));
                }
            }
            if matches!(*room, "hub" | "broker") {
                let lower = code.to_lowercase();
                for dialect in DIALECTS {
                    if lower.split(|c: char| !c.is_alphanumeric() && c != '.').any(|word| word == *dialect) {
                        wrong.push(format!("{} names the dialect {dialect}", path.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
    let expected: Vec<_> = ROOMS.iter().copied().filter(|room| named.contains(room)).collect();
    assert_eq!(named, expected);
}
