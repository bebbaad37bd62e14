//! How a room reads its section of `proxy.toml`: typed values, defaults, and every problem with its place.
//!
//! Reading never stops at the first problem: a bad value is noted and the default stands in, so one run of
//! `doorway check` shows all of them.

mod live;
mod pattern;
mod report;
mod secret;
mod state;
mod text_file;
mod value;
mod variables;

use std::cell::{Cell, RefCell};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use live::Live;
pub use pattern::Pattern;
pub use report::Problems;
pub use secret::{BadlyGiven, GivenSecret};
pub use state::{app_folder_name, plain_name, state_folder};
pub use text_file::read_text;
pub use value::{Expected, Setting, Size, closest, keyword, keywords, nearest};
pub use variables::{read_files, variable};

/// A thing wrong with the file: where (bytes), what, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Range<usize>,
    pub what: String,
    pub help: Option<String>,
}

/// What reading has gathered: the problems, and every key that was asked for.
#[derive(Default)]
struct KeyLedger {
    problems: RefCell<Vec<Problem>>,
    /// Where a value was of the wrong kind, and the default stands in for it.
    wrong: RefCell<Vec<Range<usize>>>,
    /// The text is not TOML: what is missing may stand on a line that could not be read.
    is_broken: Cell<bool>,
    keys: RefCell<Vec<String>>,
}

/// Parses `source` and hands its root to `read`. Says everything that is wrong, in the order of the file.
///
/// # Errors
/// [`Problems`] when the text is not TOML, or any value, key or combination was refused.
pub fn read<T>(name: &str, source: &str, read: impl FnOnce(&Section) -> T) -> Result<T, Problems> {
    let (result, problems, _) = read_all(source, read);
    if problems.is_empty() { Ok(result) } else { Err(Problems::new(name, source, problems)) }
}

fn line_of(source: &str, at: usize) -> usize {
    source.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// What to do where a line has the quotes of a text for people.
fn quotes(source: &str, line: usize) -> Option<String> {
    let found = source.lines().nth(line)?.chars().find(|c| "“”„‟‘’‚«»".contains(*c))?;
    Some(format!("quotes are straight in TOML: \" or ' in place of {found}"))
}

/// Every key that `read` asks for, as `section.key`; arrays of tables as `section[].key`.
pub fn keys<T>(source: &str, read: impl FnOnce(&Section) -> T) -> Vec<String> {
    read_all(source, read).2
}

fn read_all<T>(source: &str, read: impl FnOnce(&Section) -> T) -> (T, Vec<Problem>, Vec<String>) {
    let (root, errors) = DeTable::parse_recoverable(source);
    let ledger = KeyLedger::default();
    let mut broken: Vec<usize> = Vec::new();
    for error in errors {
        let place = error.span().unwrap_or(0..0);
        let line = line_of(source, place.start);
        // One mistake, one problem: what follows it on its line is read wrongly.
        if broken.contains(&line) {
            continue;
        }
        broken.push(line);
        let (what, help) = (format!("not TOML: {}", error.message()), quotes(source, line));
        ledger.problems.borrow_mut().push(Problem { place, what, help });
    }
    let syntax = ledger.problems.borrow().len();
    ledger.is_broken.set(syntax > 0);
    let section = Section::new(String::new(), Some(root.get_ref()), root.span(), &ledger);
    let result = read(&section);
    drop(section);
    let mut problems = ledger.problems.into_inner();
    if syntax > 0 {
        let mut at = 0;
        problems.retain(|problem| {
            at += 1;
            at <= syntax || !broken.contains(&line_of(source, problem.place.start))
        });
    }
    problems.sort_by_key(|problem| problem.place.start);
    problems.dedup();
    (result, problems, ledger.keys.into_inner())
}

/// One table of the file, or its absence. Keys nobody asked for are problems when it is dropped.
pub struct Section<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    place: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
    ledger: &'a KeyLedger,
}

impl<'a> Section<'a> {
    fn new(path: String, table: Option<&'a DeTable<'a>>, place: Range<usize>, ledger: &'a KeyLedger) -> Self {
        Section { path, table, place, asked: RefCell::default(), ledger }
    }

    /// True when the file has this section at all.
    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// The value of `key`, or `default` when it is absent or (noted as a problem) wrong.
    pub fn value<T: Setting>(&self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value of `key` if the file has a right one.
    pub fn optional<T: Setting>(&self, key: &'static str) -> Option<T> {
        let found = self.ask(key)?;
        match T::parse(found.get_ref()) {
            Ok(value) => Some(value),
            Err(Expected(what)) => {
                self.note(found.span(), format!("{} must be {what}", self.name(key)), None);
                self.ledger.wrong.borrow_mut().push(found.span());
                None
            }
        }
    }

    /// The value of `key`, which an older version called `old`: the old name goes on working, both at once are a problem.
    pub fn renamed<T: Setting>(&self, key: &'static str, old: &'static str, default: T) -> T {
        if !self.has(old) {
            return self.value(key, default);
        }
        if self.has(key) {
            let what = format!("{} is the older name of {}: give one of them", self.name(old), self.name(key));
            self.problem(old, what, None);
        }
        self.ledger.keys.borrow_mut().push(self.name(key));
        self.value(old, default)
    }

    /// The table `key`, present or not.
    pub fn section(&self, key: &'static str) -> Section<'a> {
        let path = self.name(key);
        let found = self.ask(key);
        let table = found.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (found, table) {
            self.note(value.span(), format!("{path} must be a table, as in [{path}]"), None);
        }
        let place = found.map_or(self.place.clone(), Spanned::span);
        Section::new(path, table, place, self.ledger)
    }

    /// The tables of the array `key`, as in `[[key]]`.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let path = format!("{}[]", self.name(key));
        let Some(found) = self.ask(key) else { return Vec::new() };
        let Some(array) = found.get_ref().as_array() else {
            let name = self.name(key);
            self.note(found.span(), format!("{name} must be a list of tables, as in [[{name}]]"), None);
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => sections.push(Section::new(path.clone(), Some(table), item.span(), self.ledger)),
                None => self.note(item.span(), format!("an entry of {} must be a table", self.name(key)), None),
            }
        }
        sections
    }

    /// Notes a problem with the value of `key` (or with the section, where the key is absent).
    pub fn problem(&self, key: &'static str, what: impl Into<String>, help: Option<&str>) {
        let place = self.place_of(key);
        // One mistake, one problem: what is wrong with the default is nobody's.
        let is_unread = self.ledger.is_broken.get() && !self.has(key);
        if !is_unread && !self.ledger.wrong.borrow().contains(&place) {
            self.note(place, what.into(), help.map(str::to_owned));
        }
    }

    /// True when the file itself gives `key`.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    fn ask(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.ledger.keys.borrow_mut().push(self.name(key));
        self.table?.get(key)
    }

    fn place_of(&self, key: &str) -> Range<usize> {
        self.table.and_then(|table| table.get(key)).map_or(self.place.clone(), Spanned::span)
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn note(&self, place: Range<usize>, what: String, help: Option<String>) {
        self.ledger.problems.borrow_mut().push(Problem { place, what, help });
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let Some(table) = self.table else { return };
        let asked = self.asked.borrow();
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let help = match nearest(name, &asked) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            self.note(key.span(), format!("unknown key `{}`", self.name(name)), Some(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn problems(source: &str) -> Vec<String> {
        let outcome = read("proxy.toml", source, |root| {
            let listen = root.section("listen");
            let _: Duration = listen.value("idle_timeout", Duration::from_secs(1));
            let _: u16 = listen.value("retries", 3);
            let _: Vec<String> = listen.value("http", Vec::new());
        });
        outcome.err().map_or(Vec::new(), |problems| problems.iter().map(|problem| problem.what.clone()).collect())
    }

    #[test]
    fn a_right_file_has_no_problems() {
        assert_eq!(problems("[listen]\nidle_timeout = \"30s\"\nretries = 2\nhttp = \"a\"\n"), Vec::<String>::new());
    }

    #[test]
    fn all_problems_come_at_once_and_in_order() {
        let found = problems("[listen]\nidle_timeout = 3\nretries = -1\nhtpp = \"a\"\n[liste]\n");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("listen.idle_timeout must be a duration"), "{found:?}");
        assert!(found[1].starts_with("listen.retries must be"), "{found:?}");
        assert_eq!(found[2], "unknown key `listen.htpp`");
        assert_eq!(found[3], "unknown key `liste`");
    }

    #[test]
    fn older_name_of_a_key_goes_on_working() {
        let value = |source| read("proxy.toml", source, |root| root.renamed("deadline", "patience", 1_u32));
        assert_eq!(value("").unwrap(), 1);
        assert_eq!(value("deadline = 2").unwrap(), 2);
        assert_eq!(value("patience = 3").unwrap(), 3);
        let both = value("patience = 3\ndeadline = 2\n").unwrap_err().to_string();
        assert!(both.contains("proxy.toml:1:12") && both.contains("older name of deadline"), "{both}");
    }

    #[test]
    fn the_report_names_line_and_column_and_suggests() {
        let outcome = read("proxy.toml", "[listen]\n  htpp = 1\n", |root| {
            let _: Vec<String> = root.section("listen").value("http", Vec::new());
        });
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains("proxy.toml:2:3"), "{text}");
        assert!(text.contains("did you mean `http`?"), "{text}");
    }
}
