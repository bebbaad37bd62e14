//! The keys of a file as it was written: their paths, and their values for people.

use std::fmt::Write as _;

use toml::{Table, Value};

/// Keys whose values are for nobody's eyes: what is printed is soon pasted somewhere.
const SECRETS: &[&str] = &["secret", "token", "env"];

/// A step into a value: a key of a table, or a place in an array of tables.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigStep {
    Key(String),
    At(usize),
}

/// The path of every value that is neither a section nor a list of them.
pub fn leaves(table: &Table) -> Vec<Vec<ConfigStep>> {
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
pub fn look<'a>(table: &'a Table, path: &[ConfigStep], at: fn(usize) -> usize) -> Option<&'a Value> {
    let (ConfigStep::Key(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(table.get(first)?, |value, step| match step {
        ConfigStep::Key(key) => value.get(key),
        ConfigStep::At(index) => value.get(at(*index)),
    })
}

pub fn shown(path: &[ConfigStep], value: &Value) -> String {
    let is_secret = SECRETS.iter().any(|name| is(path, name));
    if is_secret { "\"(not shown)\"".to_owned() } else { value.to_string() }
}

/// As a person writes it: `realtime.channel[0].history`.
pub fn written(path: &[ConfigStep]) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        match step {
            ConfigStep::Key(key) if text.is_empty() => text.push_str(key),
            ConfigStep::Key(key) => drop(write!(text, ".{key}")),
            ConfigStep::At(index) => drop(write!(text, "[{index}]")),
        }
        text
    })
}
