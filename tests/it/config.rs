//! Promise: `proxy.toml` is the documented default, and bad files get errors that name the place.

use doorway::config::Config;

const DOCUMENTED: &str = include_str!("../../proxy.toml");

/// The file with its commented keys made real.
fn uncommented() -> String {
    let is_key = |text: &str| {
        text.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let lines = DOCUMENTED.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) || rest.starts_with('[') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documented_file_is_the_default() {
    let parsed = Config::parse("proxy.toml", DOCUMENTED).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(parsed, Config::default());
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let text = uncommented();
    let table: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut documented = Vec::new();
    paths("", &table, &mut documented);
    let mut known = Config::keys(&text);
    documented.sort();
    documented.dedup();
    known.sort();
    known.dedup();
    assert_eq!(documented, known);
}

fn paths(prefix: &str, table: &toml::Table, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        found.push(path.clone());
        match value {
            toml::Value::Table(inner) => paths(&path, inner, found),
            toml::Value::Array(items) => {
                for item in items.iter().filter_map(toml::Value::as_table) {
                    paths(&format!("{path}[]"), item, found);
                }
            }
            _ => {}
        }
    }
}
