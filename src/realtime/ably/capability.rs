//! Capabilities: which operations on which channels, as JSON: `{"room:*": ["publish", "subscribe"]}`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::wire::error::AblyError;
use crate::realtime::entrance::token::Grant;
use crate::realtime::vocabulary::{Resource, Resources, Rights, Word};

/// The longest capability that is read, in bytes.
pub const MAX_CAPABILITY_LEN: usize = 8 * 1024;

macro_rules! operations {
    ($($name:ident = $word:literal),+ $(,)?) => {
        /// What may be done with a channel, in the protocol's words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation { $($name),+ }

        impl Operation {
            /// In the order of their words.
            const ALL: &[Operation] = &[$(Operation::$name),+];

            /// Its word in a capability.
            pub fn word(self) -> &'static str {
                match self { $(Operation::$name => $word),+ }
            }
        }
    };
}

operations! {
    AnnotationPublish = "annotation-publish",
    AnnotationSubscribe = "annotation-subscribe",
    ChannelMetadata = "channel-metadata",
    History = "history",
    MessageDeleteAny = "message-delete-any",
    MessageDeleteOwn = "message-delete-own",
    MessageUpdateAny = "message-update-any",
    MessageUpdateOwn = "message-update-own",
    ObjectPublish = "object-publish",
    ObjectSubscribe = "object-subscribe",
    Presence = "presence",
    PrivilegedHeaders = "privileged-headers",
    Publish = "publish",
    PushAdmin = "push-admin",
    PushSubscribe = "push-subscribe",
    Stats = "stats",
    Subscribe = "subscribe",
}

/// What lets say anything in a channel: which of it, the dialect sees to.
const SPEAKING: &[Operation] = &[
    Operation::Publish,
    Operation::AnnotationPublish,
    Operation::MessageUpdateAny,
    Operation::MessageUpdateOwn,
    Operation::MessageDeleteAny,
    Operation::MessageDeleteOwn,
];

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Operations(u32);

/// What `*` says.
const ANY: Operations = Operations(u32::MAX);

impl Operations {
    fn of(operation: Operation) -> Operations {
        Operations(1 << operation as u32)
    }

    fn has(self, operation: Operation) -> bool {
        self.0 & Operations::of(operation).0 != 0
    }

    fn parse(words: &[String]) -> Result<Operations, String> {
        let mut operations = Operations::default();
        for word in words {
            if word == "*" {
                if words.len() > 1 {
                    return Err("\"*\" stands alone among operations".to_owned());
                }
                return Ok(ANY);
            }
            let known = Operation::ALL.iter().find(|known| known.word() == word);
            let known = known.ok_or_else(|| format!("{word:?} is no operation"))?;
            operations.0 |= Operations::of(*known).0;
        }
        if operations.0 == 0 { Err("a list of operations is empty".to_owned()) } else { Ok(operations) }
    }

    /// Sorted.
    fn words(self) -> Vec<&'static str> {
        if self == ANY {
            return vec!["*"];
        }
        Operation::ALL.iter().filter(|operation| self.has(**operation)).map(|operation| operation.word()).collect()
    }
}

/// What may be done where.
#[derive(Debug)]
pub struct Capability {
    /// By their resources, sorted.
    entries: BTreeMap<Box<str>, (Resource, Operations)>,
    /// Where it is that of a token of `[realtime.tokens]`, whose words are others.
    plain: Option<Box<Plain>>,
    /// Made when somebody first comes with it.
    lists: OnceLock<Box<Lists>>,
}

impl PartialEq for Capability {
    fn eq(&self, other: &Capability) -> bool {
        self.entries == other.entries && self.plain == other.plain
    }
}

/// What the hub is told, for channels whose names begin with `prefix`: shared by all who have the capability.
#[derive(Debug, Clone)]
struct Lists {
    prefix: Arc<str>,
    subscribe: Resources,
    publish: Resources,
    enter: Resources,
    history: Resources,
    look: Resources,
}

#[derive(Debug, Clone, PartialEq)]
struct Plain {
    subscribe: Resources,
    publish: Resources,
    presence: Resources,
    history: Resources,
}

impl Capability {
    /// Everything on all channels.
    pub fn all() -> Capability {
        Capability::from_iter([("*".into(), ANY)])
    }

    /// What a token of `[realtime.tokens]` gives.
    pub fn of_grant(grant: &Grant) -> Capability {
        let plain = Plain {
            subscribe: grant.subscribe.clone(),
            publish: grant.publish.clone(),
            presence: grant.presence.clone(),
            history: grant.history.clone(),
        };
        Capability { entries: BTreeMap::new(), plain: Some(Box::new(plain)), lists: OnceLock::new() }
    }

    /// Reads the JSON of one.
    ///
    /// # Errors
    /// 40000: no such JSON, an operation that there is none of, an empty list, or `*` with others.
    pub fn parse(text: &str) -> Result<Capability, AblyError> {
        let bad = |why: String| AblyError::new(40000, 400, format!("Invalid capability: {why}"));
        if text.len() > MAX_CAPABILITY_LEN {
            return Err(bad(format!("it is longer than {MAX_CAPABILITY_LEN} bytes")));
        }
        let lists: BTreeMap<Box<str>, Vec<String>> = serde_json::from_str(text)
            .map_err(|error| bad(format!("it is no JSON object of lists of operations ({error})")))?;
        let entries = lists.into_iter().map(|(resource, words)| {
            if resource.is_empty() {
                return Err(bad("a resource has no name".to_owned()));
            }
            let operations = Operations::parse(&words).map_err(|why| bad(format!("{resource:?}: {why}")))?;
            Ok((resource, operations))
        });
        entries.collect()
    }

    /// What both allow.
    pub fn intersect(&self, other: &Capability) -> Capability {
        let mut both = BTreeMap::<Box<str>, Operations>::new();
        for (ours, (_, operations)) in &self.entries {
            for (theirs, (_, others)) in &other.entries {
                let common = Operations(operations.0 & others.0);
                if common.0 != 0
                    && let Some(resource) = meet(ours, theirs)
                {
                    both.entry(resource.into()).or_default().0 |= common.0;
                }
            }
        }
        both.into_iter().collect()
    }

    /// Whether it allows nothing at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.plain.is_none()
    }

    /// As JSON, resources and operations sorted.
    pub fn canonical(&self) -> String {
        let words: BTreeMap<_, _> =
            self.entries.iter().map(|(resource, (_, operations))| (resource, operations.words())).collect();
        // It is made of text.
        serde_json::to_string(&words).unwrap_or_default()
    }

    /// What it names.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|resource| &**resource)
    }

    /// Whether it allows `operation` on the channel `name`.
    pub fn allows(&self, operation: Operation, name: &str) -> bool {
        match &self.plain {
            Some(plain) => match plain.of(operation) {
                None => false,
                Some(None) => true,
                Some(Some(resources)) => resources.iter().any(|resource| resource.fits(name)),
            },
            None => {
                self.entries.values().any(|(resource, operations)| operations.has(operation) && resource.fits(name))
            }
        }
    }

    /// Whether it allows `operation` on any channel at all.
    pub fn allows_somewhere(&self, operation: Operation) -> bool {
        match &self.plain {
            Some(plain) => plain.of(operation).is_some(),
            None => self.entries.values().any(|(_, operations)| operations.has(operation)),
        }
    }

    /// The same for the hub, where the names of the app's channels begin with `prefix`.
    pub fn rights(&self, prefix: &str, word: Word, until: Option<Instant>) -> Rights {
        if let Some(plain) = &self.plain {
            return Rights {
                subscribe: plain.subscribe.clone(),
                publish: plain.publish.clone(),
                enter: plain.presence.clone(),
                history: plain.history.clone(),
                look: plain.subscribe.clone(),
                word,
                until,
            };
        }
        // A capability is one app's, whose prefix stays.
        let lists = self.lists.get_or_init(|| Box::new(self.lists(prefix)));
        let Lists { subscribe, publish, enter, history, look, .. } =
            if *lists.prefix == *prefix { Lists::clone(lists) } else { self.lists(prefix) };
        Rights { subscribe, publish, enter, history, look, word, until }
    }

    fn lists(&self, prefix: &str) -> Lists {
        let prefix: Arc<str> = prefix.into();
        let mut made: Vec<Arc<Vec<Resource>>> = Vec::new();
        let mut list = |wanted: &[Operation]| {
            let has_any = |operations: &Operations| wanted.iter().any(|wanted| operations.has(*wanted));
            let allowed = self.entries.iter().filter(|(_, (_, operations))| has_any(operations));
            let list: Vec<_> = allowed
                .map(|(pattern, _)| Resource::Segments { prefix: Arc::clone(&prefix), pattern: pattern.clone() })
                .collect();
            // Most say the same for all operations.
            let known = made.iter().find(|known| ***known == list).cloned();
            Some(known.unwrap_or_else(|| {
                let list = Arc::new(list);
                made.push(Arc::clone(&list));
                list
            }))
        };
        Lists {
            subscribe: list(&[Operation::Subscribe, Operation::AnnotationSubscribe]),
            publish: list(SPEAKING),
            enter: list(&[Operation::Presence]),
            history: list(&[Operation::History]),
            look: list(&[Operation::ChannelMetadata]),
            prefix: Arc::clone(&prefix),
        }
    }
}

impl Plain {
    /// The list for `operation`; `None` where there is none of it.
    fn of(&self, operation: Operation) -> Option<&Resources> {
        match operation {
            Operation::Subscribe | Operation::ChannelMetadata | Operation::AnnotationSubscribe => Some(&self.subscribe),
            Operation::Publish
            | Operation::AnnotationPublish
            | Operation::MessageUpdateOwn
            | Operation::MessageDeleteOwn => Some(&self.publish),
            Operation::Presence => Some(&self.presence),
            Operation::History => Some(&self.history),
            _ => None,
        }
    }
}

impl FromIterator<(Box<str>, Operations)> for Capability {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Operations)>>(entries: I) -> Capability {
        let prefix: Arc<str> = "".into();
        let entry = |(pattern, operations): (Box<str>, Operations)| {
            let resource = Resource::Segments { prefix: Arc::clone(&prefix), pattern: pattern.clone() };
            (pattern, (resource, operations))
        };
        Capability { entries: entries.into_iter().map(entry).collect(), plain: None, lists: OnceLock::new() }
    }
}

/// Segments between colons, and whether any more may follow: one at least.
struct Shape<'a> {
    segments: Vec<&'a str>,
    has_rest: bool,
}

impl Shape<'_> {
    fn of(pattern: &str) -> Shape<'_> {
        let mut segments: Vec<&str> = pattern.split(':').collect();
        let has_rest = segments.last() == Some(&"*");
        if has_rest {
            segments.pop();
        }
        Shape { segments, has_rest }
    }
}

/// The pattern of all names that both patterns fit; `None` where there can be none.
fn meet(one: &str, other: &str) -> Option<String> {
    const ANYTHING: &str = "[*]*";
    if one == ANYTHING || other == ANYTHING {
        return Some(if one == ANYTHING { other } else { one }.to_owned());
    }
    if one.starts_with('[') != other.starts_with('[') {
        return None;
    }
    let (one, other) = (Shape::of(one), Shape::of(other));
    let (ours, theirs) = (one.segments.len(), other.segments.len());
    let can_meet = match (one.has_rest, other.has_rest) {
        (true, true) => true,
        (true, false) => theirs > ours,
        (false, true) => ours > theirs,
        (false, false) => ours == theirs,
    };
    if !can_meet {
        return None;
    }
    let mut segments = Vec::with_capacity(ours.max(theirs) + 1);
    for at in 0..ours.max(theirs) {
        segments.push(match (one.segments.get(at), other.segments.get(at)) {
            (Some(&"*"), Some(segment)) | (Some(segment), Some(&"*") | None) | (None, Some(segment)) => *segment,
            (Some(ours), Some(theirs)) if ours == theirs => *ours,
            _ => return None,
        });
    }
    if one.has_rest && other.has_rest {
        segments.push("*");
    }
    Some(segments.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::Channel;

    fn read(text: &str) -> Capability {
        Capability::parse(text).unwrap()
    }

    #[test]
    fn it_is_written_sorted() {
        let text = r#"{"b":["subscribe","publish","history"],"a:*":["*"]}"#;
        assert_eq!(read(text).canonical(), r#"{"a:*":["*"],"b":["history","publish","subscribe"]}"#);
        assert_eq!(Capability::all().canonical(), r#"{"*":["*"]}"#);
        let words: Vec<_> = Operation::ALL.iter().map(|operation| operation.word()).collect();
        assert!(words.is_sorted());
    }

    #[test]
    fn what_is_malformed_says_why() {
        for (text, why) in [
            ("", "no JSON"),
            ("[]", "no JSON"),
            (r#"{"a":"*"}"#, "no JSON"),
            (r#"{"a":[1]}"#, "no JSON"),
            (r#"{"a":["publish_"]}"#, "\"publish_\" is no operation"),
            (r#"{"a":["*","publish"]}"#, "stands alone"),
            (r#"{"a":["publish","*"]}"#, "stands alone"),
            (r#"{"a":[]}"#, "empty"),
            (r#"{"":["*"]}"#, "no name"),
            (&format!(r#"{{"{}":["*"]}}"#, "x".repeat(MAX_CAPABILITY_LEN)), "longer"),
        ] {
            let error = Capability::parse(text).unwrap_err();
            assert_eq!((error.code, error.status), (40000, 400), "{text}");
            assert!(error.message.contains(why), "{}", error.message);
        }
    }

    #[test]
    fn both_wildcards_are_meant_in_what_is_common() {
        for (wanted, key, both) in [
            (r#"{"*":["*"]}"#, r#"{"*":["*"]}"#, r#"{"*":["*"]}"#),
            (r#"{"c":["presence","subscribe"]}"#, r#"{"c":["publish","subscribe"]}"#, r#"{"c":["subscribe"]}"#),
            (r#"{"c":["*"]}"#, r#"{"c":["subscribe","publish"]}"#, r#"{"c":["publish","subscribe"]}"#),
            (r#"{"c":["publish"]}"#, r#"{"c":["*"]}"#, r#"{"c":["publish"]}"#),
            (r#"{"a:b":["publish"]}"#, r#"{"a:*":["*"]}"#, r#"{"a:b":["publish"]}"#),
            (r#"{"a:*":["publish"]}"#, r#"{"a:*":["*"]}"#, r#"{"a:*":["publish"]}"#),
            (r#"{"*":["*"]}"#, r#"{"a":["publish"],"b":["*"]}"#, r#"{"a":["publish"],"b":["*"]}"#),
            (r#"{"a":["*"]}"#, r#"{"*":["subscribe"],"a":["publish"]}"#, r#"{"a":["publish","subscribe"]}"#),
            (r#"{"a":["subscribe"]}"#, r#"{"a":["publish"]}"#, "{}"),
            (r#"{"x":["publish"]}"#, r#"{"a":["publish"],"a:*":["*"]}"#, "{}"),
            (r#"{"*":["*"]}"#, r#"{"[*]*":["*"]}"#, r#"{"*":["*"]}"#),
            (r#"{"*":["*"]}"#, r#"{"[meta]x":["*"]}"#, "{}"),
        ] {
            let (wanted, key) = (read(wanted), read(key));
            assert_eq!(wanted.intersect(&key).canonical(), both);
            assert_eq!(key.intersect(&wanted).canonical(), both);
        }
    }

    #[test]
    fn patterns_meet_where_names_fit_both() {
        let patterns = ["*", "a", "a:*", "*:b", "a:*:c", "*:b:*", "a:b:c", "a:b:*", "*:*", "[*]*", "[meta]x", "foo*"];
        let names = ["a", "b", "a:b", "x:b", "a:b:c", "a:x:c", "x:b:c", "a:b:c:d", "[meta]x", "foo*", "foobar", "a:"];
        for one in patterns {
            for other in patterns {
                let met = meet(one, other);
                for name in names {
                    let fits =
                        |pattern: &str| Resource::Segments { prefix: "".into(), pattern: pattern.into() }.fits(name);
                    let both = met.as_deref().is_some_and(fits);
                    assert_eq!(both, fits(one) && fits(other), "{one} and {other}: {met:?}, {name}");
                }
            }
        }
    }

    #[test]
    fn it_allows_what_it_says_and_no_more() {
        let capability = read(r#"{"room:*":["subscribe"],"lobby":["*"]}"#);
        assert!(capability.allows(Operation::Subscribe, "room:1") && !capability.allows(Operation::Publish, "room:1"));
        assert!(capability.allows(Operation::PushAdmin, "lobby") && !capability.allows(Operation::Subscribe, "room"));
        assert!(capability.allows_somewhere(Operation::Stats) && capability.resources().eq(["lobby", "room:*"]));
        let rights = capability.rights("2:", Word::Signed, None);
        let channel = |name: &str| Channel::new(name).unwrap();
        assert!(rights.may_hear(&channel("2:room:1")) && !rights.may_hear(&channel("room:1")));
        assert!(rights.may_say(&channel("2:lobby")) && !rights.may_say(&channel("2:room:1")));
        assert!(rights.may_enter(&channel("2:lobby")) && !rights.may_enter(&channel("2:room:1")));
        assert!(rights.may_read(&channel("2:lobby")) && !rights.may_read(&channel("2:room:1")));
        assert!(rights.may_look(&channel("2:lobby")) && !rights.may_look(&channel("2:room:1")));
        let none = read("{}");
        assert!(none.is_empty() && !none.rights("", Word::Signed, None).may_hear(&channel("a")));
    }
}
