//! What Next.js declared old, by its tags: it forgets that when it ends, and gives out old pages again that nobody has
//! asked for meanwhile. So the next process is told.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The tag that every page and route handler of the App Router has, and what was fetched for it.
const LAYOUT: &str = "_N_T_/layout";
/// More are not remembered one by one.
const MAX_TAGS: usize = 4096;
/// The same in bytes of their lines.
const MAX_BYTES: usize = 256 * 1024;

/// Next.js takes the time of a page's file, in ms, for that of the page after a restart, and writes it behind the answer: what
/// was declared old meanwhile must not look older than the page.
const LATE: u64 = 10_000;

/// A tag as Next.js has it, and since when what carries it is stale or gone, in ms since 1970. Times are what Next.js'
/// own table has: of a profile, `expired` is in the future.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    pub tag: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<u64>,
    /// When it was declared.
    pub at: u64,
}

/// All declarations, the newest of each tag. When there are too many, the oldest are replaced by one: whatever was made
/// before the newest of them is gone.
#[derive(Debug, Default)]
pub struct Declarations {
    known: HashMap<Box<str>, (u64, Declaration)>,
    /// Of their lines.
    bytes: usize,
    /// The number of the newest.
    last: u64,
}

impl Declaration {
    /// Whatever was made before `at` is gone.
    pub fn everything(at: u64) -> Declaration {
        Declaration { tag: LAYOUT.into(), stale: None, expired: Some(at), at }
    }

    /// A line of JSON, for the app's process and for the disk.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// For a process that begins `now`: of what was written up to a while after it nobody knows when it was made.
    fn for_process(&self, now: u64) -> Declaration {
        // A time in the future is that of a profile.
        let late = |time: u64| if time <= self.at { time.max(now.min(time.saturating_add(LATE))) } else { time };
        let (stale, expired) = (self.stale.map(late), self.expired.map(late));
        Declaration { tag: self.tag.clone(), stale, expired, at: late(self.at) }
    }

    /// What its line takes, and more.
    fn size(&self) -> usize {
        self.tag.len() + 100
    }
}

impl Declarations {
    /// Those of [`text`](Declarations::text); what is no such line is passed over.
    pub fn read(text: &[u8]) -> Declarations {
        let mut declarations = Declarations::default();
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(declaration) = serde_json::from_slice(line) {
                declarations.note(declaration);
            }
        }
        declarations
    }

    /// As Next.js does: what it does not say of a tag stays as it was. True where it says anything new.
    pub fn note(&mut self, mut declaration: Declaration) -> bool {
        if let Some((_, known)) = self.known.get(&declaration.tag) {
            declaration.stale = declaration.stale.or(known.stale);
            declaration.expired = declaration.expired.or(known.expired);
            declaration.at = declaration.at.max(known.at);
            if declaration == *known {
                return false;
            }
            self.bytes -= known.size();
        }
        self.last += 1;
        self.bytes += declaration.size();
        self.known.insert(declaration.tag.clone(), (self.last, declaration));
        if self.known.len() > MAX_TAGS || self.bytes > MAX_BYTES {
            self.shorten();
        }
        true
    }

    /// Puts one in the place of the oldest quarter.
    fn shorten(&mut self) {
        let mut by_age: Vec<_> = self.known.values().map(|(number, known)| (*number, known.tag.clone())).collect();
        by_age.sort_unstable();
        by_age.truncate(by_age.len().div_ceil(4));
        let gone: Vec<_> = by_age.iter().filter_map(|(_, tag)| self.known.remove(tag)).collect();
        self.bytes -= gone.iter().map(|(_, known)| known.size()).sum::<usize>();
        if let Some(at) = gone.iter().map(|(_, known)| known.at).max() {
            self.note(Declaration::everything(at));
        }
    }

    /// A line for each, the newest last.
    pub fn text(&self) -> Vec<u8> {
        self.newest_last().flat_map(Declaration::line).collect()
    }

    /// The same, for a process that begins `now`.
    pub fn text_for_process(&self, now: u64) -> Vec<u8> {
        self.newest_last().flat_map(|declaration| declaration.for_process(now).line()).collect()
    }

    fn newest_last(&self) -> impl Iterator<Item = &Declaration> {
        let mut all: Vec<_> = self.known.values().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, declaration)| declaration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(tag: &str, at: u64) -> Declaration {
        Declaration { tag: tag.into(), stale: None, expired: Some(at), at }
    }

    fn all(declarations: &Declarations) -> Vec<Declaration> {
        let text = declarations.text();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn the_newest_of_each_tag_is_remembered_newest_last() {
        let mut declarations = Declarations::default();
        assert!(declarations.note(now("a", 1)) && declarations.note(now("b", 2)));
        assert!(!declarations.note(now("b", 2)), "twice the same");
        let in_a_year = Declaration { tag: "a".into(), stale: Some(3), expired: Some(9000), at: 3 };
        assert!(declarations.note(in_a_year.clone()));
        assert_eq!(all(&declarations), [now("b", 2), in_a_year]);
        // A profile without an end says nothing of one.
        assert!(declarations.note(Declaration { tag: "a".into(), stale: Some(4), expired: None, at: 4 }));
        assert_eq!(all(&declarations)[1], Declaration { tag: "a".into(), stale: Some(4), expired: Some(9000), at: 4 });
        let mut text = declarations.text();
        text.extend(b"{\"tag\":\"half");
        assert_eq!(all(&Declarations::read(&text)), all(&declarations));
    }

    #[test]
    fn a_page_that_was_written_late_is_no_newer() {
        let at = 100_000;
        assert_eq!(now("a", at).for_process(at + 60_000), now("a", at + LATE));
        assert_eq!(
            now("a", at).for_process(at + 5),
            now("a", at + 5),
            "not in the future, where it would not count yet"
        );
        assert_eq!(now("a", at).for_process(at - 5), now("a", at), "a clock that was set back");
        let profile = Declaration { tag: "a".into(), stale: Some(at), expired: Some(at + 70_000), at };
        let told = profile.for_process(at + 60_000);
        assert_eq!((told.stale, told.expired), (Some(at + LATE), Some(at + 70_000)));
    }

    #[test]
    fn too_many_become_one() {
        let mut declarations = Declarations::default();
        for number in 0..20_000 {
            declarations.note(now(&format!("tag-{number}"), number));
        }
        let known = all(&declarations);
        assert!(known.len() <= MAX_TAGS && declarations.text().len() <= MAX_BYTES);
        assert_eq!(known.last(), Some(&now("tag-19999", 19_999)));
        let everything = known.iter().find(|known| &*known.tag == LAYOUT).unwrap();
        let oldest = known.iter().filter(|known| &*known.tag != LAYOUT).map(|known| known.at).min().unwrap();
        assert_eq!(everything.expired, Some(oldest - 1), "there is no gap");
    }
}
