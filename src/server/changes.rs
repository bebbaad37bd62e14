//! What a reload changes, by the words of the two files. A file that was cut off in the middle is right TOML, and opens
//! what was closed: that is said loudly.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use super::config_keys::{leaves, look, shown, written};

/// Sections that keep somebody out.
const GUARDING: &[&str] =
    &["callbacks", "http.hosts", "realtime.channel", "realtime.require_origin", "realtime.tokens"];

/// The difference between two files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// A key each, by name: `http.hosts: ["a"] -> ["b"]`. Of secrets, that they are others.
    pub lines: Vec<String>,
    /// Sections that kept somebody out and are gone, or have fewer entries.
    pub opened: Vec<&'static str>,
}

/// What `now` says other than `before`. Text that is no TOML counts as empty: it is refused elsewhere.
pub fn between(before: &str, now: &str) -> Changes {
    let (before, now) = (values(before), values(now));
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let line = |key: &String| match (before.get(key), now.get(key)) {
        (Some(old), Some(new)) if old.value == new.value => None,
        (Some(old), Some(new)) if old.text == new.text => Some(format!("{key}: another one")),
        (Some(old), Some(new)) => Some(format!("{key}: {} -> {}", old.text, new.text)),
        (Some(_), None) => Some(format!("{key}: no longer set")),
        (None, Some(new)) => Some(format!("{key}: set to {}", new.text)),
        (None, None) => None,
    };
    let is_opened = |section: &&&str| entries(&now, section) < entries(&before, section);
    Changes {
        lines: keys.into_iter().filter_map(line).collect(),
        opened: GUARDING.iter().filter(is_opened).copied().collect(),
    }
}

/// True for a file that says nothing any more.
pub fn is_emptied(before: &str, now: &str) -> bool {
    values(now).is_empty() && !values(before).is_empty()
}

struct Written {
    /// For people.
    text: String,
    value: toml::Value,
}

/// Every key of a file.
fn values(text: &str) -> BTreeMap<String, Written> {
    let table: Table = text.parse().unwrap_or_default();
    let value = |path: &Vec<_>| look(&table, path, |index| index).cloned();
    let leaves = leaves(&table);
    leaves
        .iter()
        .filter_map(|path| value(path).map(|value| (written(path), Written { text: shown(path, &value), value })))
        .collect()
}

/// How many tables a section has, or whether it is there.
fn entries(values: &BTreeMap<String, Written>, section: &str) -> usize {
    let entry = |key: &String| {
        let rest = key.strip_prefix(section)?;
        let is_whole = rest.is_empty() || rest.starts_with('.');
        let index = rest.strip_prefix('[').and_then(|rest| rest.split(']').next());
        index.map(str::to_owned).or_else(|| is_whole.then(String::new))
    };
    values.keys().filter_map(entry).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "[http]\nhosts = [\"a.test\"]\n[callbacks]\nevents = [\"connect\"]\nsecret = \"one\"\n\
                         [[realtime.channel]]\nmatch = \"a\"\n[[realtime.channel]]\nmatch = \"b\"\n";

    #[test]
    fn every_key_that_differs_is_named_and_no_secret_shown() {
        assert_eq!(between(WHOLE, &format!("# a word\n{WHOLE}")), Changes::default());
        let other = WHOLE.replace("a.test", "b.test").replace("one", "two") + "history = 3\n";
        let changes = between(WHOLE, &other);
        let expected = [
            "callbacks.secret: another one",
            "http.hosts: [\"a.test\"] -> [\"b.test\"]",
            "realtime.channel[1].history: set to 3",
        ];
        assert_eq!((changes.lines, changes.opened), (expected.map(str::to_owned).to_vec(), Vec::new()));
    }

    #[test]
    fn what_kept_somebody_out_and_is_gone_is_named() {
        let cut = |at: &str| between(WHOLE, &WHOLE[..WHOLE.rfind(at).unwrap()]).opened;
        assert_eq!(cut("[[realtime"), ["realtime.channel"]);
        assert_eq!(cut("[callbacks]"), ["callbacks", "realtime.channel"]);
        assert_eq!(cut("[http]"), ["callbacks", "http.hosts", "realtime.channel"]);
        assert!(is_emptied(WHOLE, "# all gone\n") && !is_emptied("", "\n") && !is_emptied(WHOLE, WHOLE));
    }
}
