//! `doorway config`: the default configuration, and what a file makes of it.

use std::fmt::Write as _;
use std::path::Path;

use toml::{Table, Value};

use super::config_keys::{ConfigStep, leaves, look, shown, written};

use crate::config::{Config, ConfigError};

/// The default configuration, with every key and what it is for.
pub const DOCUMENTED: &str = include_str!("../../proxy.toml");

/// The keys of `file` that change something, a line each: `key = value  # default: value`. A value that is the default in
/// other words ("60s", "1m") is none of them.
///
/// # Errors
/// [`ConfigError`], with every problem of the file at once.
pub fn differences(file: &Path) -> Result<String, ConfigError> {
    Config::load(file)?;
    let text = Config::text(file)?;
    let name = file.display().to_string();
    let parse = |table: &Table| Config::parse(&name, &table.to_string()).ok();
    // Both have been read before: neither is wrong.
    let (given, documented): (Table, Table) =
        (text.parse().unwrap_or_default(), uncommented().parse().unwrap_or_default());
    let whole = parse(&given);
    let mut lines = String::new();
    for path in leaves(&given) {
        let mut without = given.clone();
        remove(&mut without, &path);
        // A file that is wrong without the key is another one, too.
        let is_without = parse(&without);
        if is_without.is_some() && is_without == whole {
            continue;
        }
        let default = look(&documented, &path, |_| 0).filter(|value| {
            let mut with = given.clone();
            replace(&mut with, &path, value);
            is_without.is_some() && parse(&with) == is_without
        });
        let default = default.map_or_else(|| "no default".to_owned(), |value| format!("default: {value}"));
        let value = look(&given, &path, |index| index).map(|value| shown(&path, value)).unwrap_or_default();
        let _ = writeln!(lines, "{} = {value}  # {default}", written(&path));
    }
    Ok(lines)
}

/// The documented file with its commented keys made real. Those are examples where they have no default.
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

/// The table that holds the last key of `path`, and that key.
fn holder<'a, 'b>(table: &'a mut Table, path: &'b [ConfigStep]) -> Option<(&'a mut Table, &'b String)> {
    match path {
        [ConfigStep::Key(key)] => Some((table, key)),
        [ConfigStep::Key(key), ConfigStep::At(index), rest @ ..] => {
            holder(table.get_mut(key)?.get_mut(index)?.as_table_mut()?, rest)
        }
        [ConfigStep::Key(key), rest @ ..] => holder(table.get_mut(key)?.as_table_mut()?, rest),
        _ => None,
    }
}

fn remove(table: &mut Table, path: &[ConfigStep]) {
    if let Some((holder, key)) = holder(table, path) {
        holder.remove(key);
    }
}

fn replace(table: &mut Table, path: &[ConfigStep], value: &Value) {
    if let Some((holder, key)) = holder(table, path) {
        holder.insert(key.clone(), value.clone());
    }
}
