//! `doorway config`: the default configuration, and what a file makes of it.

use std::fmt::Write as _;
use std::path::Path;

use toml::{Table, Value};

use crate::config::{Config, ConfigError};

/// The default configuration, with every key and what it is for.
pub const DOCUMENTED: &str = include_str!("../../proxy.toml");

/// Keys whose values are for nobody's eyes: what is printed is soon pasted somewhere.
const SECRETS: &[&str] = &["secret", "token", "env"];

/// The keys of `file` that change something, a line each: `key = value  # default: value`. A value that is the default in
/// other words ("60s", "1m") is none of them.
///
/// # Errors
/// [`ConfigError`], with every problem of the file at once.
pub fn differences(file: &Path) -> Result<String, ConfigError> {
    Config::load(file)?;
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
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

/// A step into a value: a key of a table, or a place in an array of tables.
#[derive(Debug, Clone, PartialEq)]
enum ConfigStep {
    Key(String),
    At(usize),
}

/// The path of every value that is neither a section nor a list of them.
fn leaves(table: &Table) -> Vec<Vec<ConfigStep>> {
    let mut found = Vec::new();
    for (key, value) in table {
        gather(vec![ConfigStep::Key(key.clone())], value, &mut found);
    }
    found
}

fn gather(path: Vec<ConfigStep>, value: &Value, found: &mut Vec<Vec<ConfigStep>>) {
    let below = |step: ConfigStep| path.iter().cloned().chain([step]).collect::<Vec<_>>();
    match value {
        // `env` is one value: its keys are the file's own.
        Value::Table(table) if !is(&path, "env") => {
            table.iter().for_each(|(key, value)| gather(below(ConfigStep::Key(key.clone())), value, found));
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            items.iter().enumerate().for_each(|(index, item)| gather(below(ConfigStep::At(index)), item, found));
        }
        _ => found.push(path),
    }
}

fn is(path: &[ConfigStep], name: &str) -> bool {
    matches!(path.last(), Some(ConfigStep::Key(key)) if key == name)
}

/// The value at `path`; `at` says which entry of a list stands for which.
fn look<'a>(table: &'a Table, path: &[ConfigStep], at: fn(usize) -> usize) -> Option<&'a Value> {
    let (ConfigStep::Key(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(table.get(first)?, |value, step| match step {
        ConfigStep::Key(key) => value.get(key),
        ConfigStep::At(index) => value.get(at(*index)),
    })
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

fn shown(path: &[ConfigStep], value: &Value) -> String {
    let is_secret = SECRETS.iter().any(|name| is(path, name));
    if is_secret { "\"(not shown)\"".to_owned() } else { value.to_string() }
}

/// As a person writes it: `realtime.channel[0].history`.
fn written(path: &[ConfigStep]) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        match step {
            ConfigStep::Key(key) if text.is_empty() => text.push_str(key),
            ConfigStep::Key(key) => drop(write!(text, ".{key}")),
            ConfigStep::At(index) => drop(write!(text, "[{index}]")),
        }
        text
    })
}
