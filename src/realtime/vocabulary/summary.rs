//! What the annotations of a message come to: counted by their kinds, each in its own way.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Users that the annotations of one message may have, at most: under each name again.
const MAX_USERS: usize = 10_000;

/// Kinds and names, at most: whoever hears of one annotation hears all of them.
const MAX_NAMES: usize = 200;

/// What an entry costs beside its text, in bytes.
const ENTRY_COST: usize = 64;

/// How annotations of a kind are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// All of them.
    Total,
    /// Users, each once.
    Flag,
    /// Users by name, each once under a name.
    Distinct,
    /// Users by name, each under one name: the last.
    Unique,
    /// By name, whatever each user gives it.
    Multiple,
}

/// Something that a client says of a message; its name is that of the message that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Those of one kind are counted together.
    pub kind: Arc<str>,
    pub method: Method,
    pub count: u64,
    /// It takes back what was said before.
    pub removes: bool,
}

/// The annotations of one message, counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    kinds: BTreeMap<Arc<str>, Tally>,
    users: usize,
    /// Kinds too.
    names: usize,
    bytes: usize,
}

/// What those of one kind come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Tally {
    Total(u64),
    Users(BTreeSet<Arc<str>>),
    /// The users of each name; each user has one name alone where it `is_unique`.
    Names {
        names: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
        is_unique: bool,
    },
    Counts(BTreeMap<Arc<str>, Voices>),
}

/// What users have given one name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Voices {
    pub users: BTreeMap<Arc<str>, u64>,
    /// Of those whom nobody knows.
    pub unidentified: u64,
}

impl Voices {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.users.values().fold(self.unidentified, |total, count| total.saturating_add(*count))
    }
}

impl Tally {
    fn new(method: Method) -> Tally {
        match method {
            Method::Total => Tally::Total(0),
            Method::Flag => Tally::Users(BTreeSet::new()),
            Method::Distinct => Tally::Names { names: BTreeMap::new(), is_unique: false },
            Method::Unique => Tally::Names { names: BTreeMap::new(), is_unique: true },
            Method::Multiple => Tally::Counts(BTreeMap::new()),
        }
    }

    /// Whether it counts by names, and has this one; without names it has any.
    fn has(&self, name: &str) -> bool {
        match self {
            Tally::Total(_) | Tally::Users(_) => true,
            Tally::Names { names, .. } => names.contains_key(name),
            Tally::Counts(names) => names.contains_key(name),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Tally::Total(total) => *total == 0,
            Tally::Users(users) => users.is_empty(),
            Tally::Names { names, .. } => names.is_empty(),
            Tally::Counts(names) => names.is_empty(),
        }
    }
}

impl Summary {
    /// By their kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &Tally)> {
        self.kinds.iter().map(|(kind, tally)| (&**kind, tally))
    }

    /// How many, by kind, and by name where names are counted: JSON.
    pub fn totals(&self) -> serde_json::Value {
        let tally = |tally: &Tally| match tally {
            Tally::Total(total) => (*total).into(),
            Tally::Users(users) => users.len().into(),
            Tally::Names { names, .. } => {
                names.iter().map(|(name, users)| (name.to_string(), users.len())).collect::<serde_json::Value>()
            }
            Tally::Counts(names) => {
                names.iter().map(|(name, voices)| (name.to_string(), voices.total())).collect::<serde_json::Value>()
            }
        };
        self.kinds.iter().map(|(kind, counted)| (kind.to_string(), tally(counted))).collect()
    }

    /// Roughly what it holds in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts one more, or one less.
    ///
    /// # Errors
    /// In one sentence: it lacks what its method counts by, or the message has too many.
    pub fn count(
        &mut self,
        annotation: &Annotation,
        name: Option<&str>,
        user: Option<&str>,
    ) -> Result<(), Cow<'static, str>> {
        let lacks = |what: &'static str| Cow::Borrowed(what);
        let named =
            || name.filter(|name| !name.is_empty()).ok_or_else(|| lacks("an annotation of this kind has a name"));
        let known = || user.ok_or_else(|| lacks("an annotation of this kind is of a user, and there is none"));
        if !annotation.removes && self.users >= MAX_USERS {
            return Err(format!("a message has annotations of at most {MAX_USERS} users").into());
        }
        let is_new = self.kinds.get(&annotation.kind).is_none_or(|tally| name.is_some_and(|name| !tally.has(name)));
        if !annotation.removes && is_new && self.names + 2 > MAX_NAMES {
            return Err(format!("the annotations of a message have at most {MAX_NAMES} types and names").into());
        }
        // Nothing is changed before all of it is known to be there.
        match annotation.method {
            Method::Total => {}
            Method::Flag => drop(known()?),
            Method::Distinct => drop((known()?, named()?)),
            Method::Unique if annotation.removes => drop(known()?),
            Method::Unique => drop((known()?, named()?)),
            Method::Multiple if annotation.removes => drop((known()?, named()?)),
            Method::Multiple => drop(named()?),
        }
        let (kind, mut tally) = match self.kinds.remove_entry(&annotation.kind) {
            Some(known) => known,
            None if annotation.removes => return Ok(()),
            None => {
                self.enter_name(annotation.kind.len());
                (Arc::clone(&annotation.kind), Tally::new(annotation.method))
            }
        };
        self.tally(&mut tally, annotation, name, user);
        if tally.is_empty() {
            self.leave_name(kind.len());
        } else {
            self.kinds.insert(kind, tally);
        }
        Ok(())
    }

    fn tally(&mut self, tally: &mut Tally, annotation: &Annotation, name: Option<&str>, user: Option<&str>) {
        let removes = annotation.removes;
        match tally {
            Tally::Total(total) => *total = if removes { total.saturating_sub(1) } else { total.saturating_add(1) },
            Tally::Users(users) => {
                let Some(user) = user else { return };
                self.set(users, user, removes);
            }
            Tally::Names { names, is_unique } => {
                let Some(user) = user else { return };
                let elsewhere = *is_unique && (!removes || name.is_none());
                if elsewhere {
                    for users in names.values_mut() {
                        self.set(users, user, true);
                    }
                }
                if let Some(name) = name {
                    if !removes && !names.contains_key(name) {
                        self.enter_name(name.len());
                        names.insert(name.into(), BTreeSet::new());
                    }
                    if let Some(users) = names.get_mut(name) {
                        self.set(users, user, removes);
                    }
                }
                names.retain(|name, users| {
                    let stays = !users.is_empty();
                    if !stays {
                        self.leave_name(name.len());
                    }
                    stays
                });
            }
            Tally::Counts(names) => {
                let Some(name) = name else { return };
                if removes {
                    let Some(voices) = names.get_mut(name) else { return };
                    if let Some(user) = user.filter(|user| voices.users.remove(*user).is_some()) {
                        self.leave(user.len());
                    }
                    if voices.total() == 0 {
                        names.remove(name);
                        self.leave_name(name.len());
                    }
                    return;
                }
                if !names.contains_key(name) {
                    self.enter_name(name.len());
                    names.insert(name.into(), Voices::default());
                }
                let Some(voices) = names.get_mut(name) else { return };
                let count = match user {
                    None => &mut voices.unidentified,
                    Some(user) => {
                        if !voices.users.contains_key(user) {
                            self.enter(user.len());
                            voices.users.insert(user.into(), 0);
                        }
                        voices.users.entry(user.into()).or_default()
                    }
                };
                *count = count.saturating_add(annotation.count);
            }
        }
    }

    fn set(&mut self, users: &mut BTreeSet<Arc<str>>, user: &str, removes: bool) {
        if removes {
            if users.remove(user) {
                self.leave(user.len());
            }
        } else if !users.contains(user) {
            self.enter(user.len());
            users.insert(user.into());
        }
    }

    fn enter(&mut self, text: usize) {
        self.users += 1;
        self.bytes += text + ENTRY_COST;
    }

    fn leave(&mut self, text: usize) {
        self.users = self.users.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(text + ENTRY_COST);
    }

    fn enter_name(&mut self, text: usize) {
        self.names += 1;
        self.bytes += text + ENTRY_COST;
    }

    fn leave_name(&mut self, text: usize) {
        self.names = self.names.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(text + ENTRY_COST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(kind: &str, method: Method, removes: bool) -> Annotation {
        Annotation { kind: kind.into(), method, count: 1, removes }
    }

    /// What is put (`+`) and taken back (`-`) under names by users, as `+name:user`.
    fn counted(method: Method, said: &[&str]) -> Option<Tally> {
        let mut summary = Summary::default();
        for said in said {
            let (name, user) = said[1..].split_once(':').unwrap();
            let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
            let (name, user): (String, String) = (name.into(), user.into());
            let (name, user) = (some(name.leak()), some(user.leak()));
            summary.count(&annotation("k", method, said.starts_with('-')), name, user).unwrap();
        }
        assert_eq!(summary.kinds.is_empty(), summary.names == 0 && summary.users == 0, "{said:?}");
        assert_eq!(summary.kinds.is_empty(), summary.bytes == 0, "{said:?}");
        summary.kinds.remove("k")
    }

    fn users(users: &[&str]) -> BTreeSet<Arc<str>> {
        users.iter().map(|user| (*user).into()).collect()
    }

    fn names(method: Method, said: &[&str]) -> Vec<(String, Vec<String>)> {
        let Some(Tally::Names { names, .. }) = counted(method, said) else { return Vec::new() };
        let shown = |(name, users): (&Arc<str>, &BTreeSet<Arc<str>>)| {
            (name.to_string(), users.iter().map(ToString::to_string).collect())
        };
        names.iter().map(shown).collect()
    }

    #[test]
    fn each_method_counts_in_its_own_way() {
        assert_eq!(counted(Method::Total, &["+:", "+:ann", "+:ann", "-:"]), Some(Tally::Total(2)));
        assert_eq!(counted(Method::Total, &["+:", "-:", "-:"]), None);
        assert_eq!(counted(Method::Flag, &["+:ann", "+:ann", "+:bob"]), Some(Tally::Users(users(&["ann", "bob"]))));
        assert_eq!(counted(Method::Flag, &["+:ann", "-:ann"]), None);
        let of = |name: &str, users: &[&str]| (name.to_owned(), users.iter().map(|user| (*user).to_owned()).collect());
        let both = ["+a:ann", "+b:ann", "+a:bob"];
        assert_eq!(names(Method::Distinct, &both), [of("a", &["ann", "bob"]), of("b", &["ann"])]);
        assert_eq!(names(Method::Unique, &both), [of("a", &["bob"]), of("b", &["ann"])]);
        assert_eq!(names(Method::Unique, &["+a:ann", "-:ann"]), []);
        assert_eq!(names(Method::Distinct, &["+a:ann", "-b:ann", "-a:bob"]), [of("a", &["ann"])]);
        let Some(Tally::Counts(counts)) = counted(Method::Multiple, &["+a:ann", "+a:ann", "+a:", "+b:bob", "-b:bob"])
        else {
            panic!("counted")
        };
        assert_eq!((counts.len(), counts["a"].total(), counts["a"].users["ann"]), (1, 3, 2));
    }

    #[test]
    fn what_it_counts_by_must_be_there_and_be_bounded() {
        let mut summary = Summary::default();
        let mut count = |method, name, user| summary.count(&annotation("k", method, false), name, user).is_ok();
        assert!(!count(Method::Flag, None, None) && !count(Method::Distinct, None, Some("ann")));
        assert!(!count(Method::Unique, Some("a"), None) && !count(Method::Multiple, None, Some("ann")));
        for number in 0..MAX_USERS + 2 {
            let user: &'static str = number.to_string().leak();
            assert_eq!(count(Method::Flag, None, Some(user)), number < MAX_USERS, "{number}");
        }
        let mut summary = Summary::default();
        for number in 0..2 * MAX_NAMES {
            let name = number.to_string();
            let counted = summary.count(&annotation("k", Method::Multiple, false), Some(&name), None);
            assert_eq!(counted.is_ok(), number + 2 < MAX_NAMES, "{number}");
        }
        let again = summary.count(&annotation("k", Method::Multiple, false), Some("1"), None);
        assert!(again.is_ok(), "one that is there");
        let mut summary = Summary::default();
        summary.count(&annotation("k", Method::Flag, true), None, Some("ann")).unwrap();
        assert_eq!(summary, Summary::default(), "nothing is there to take back");
    }
}
