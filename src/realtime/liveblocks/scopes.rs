//! What a client may do in a room: the protocol's closed list of scopes, and what several of them come to.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How much somebody may do with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    None,
    Read,
    Write,
}

/// What most scopes of a room follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseAccess {
    /// See and change everything.
    Write,
    /// See everything.
    Read,
}

/// What a scope is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// All of the room that no other scope is about.
    Room,
    Part(Part),
    /// Nothing any more: presence, of which older tokens speak.
    Nothing,
}

/// A part of a room that has scopes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Storage,
    Comments,
    PublicComments,
    PrivateComments,
    Feeds,
}

const PARTS: [Part; 5] = [Part::Storage, Part::Comments, Part::PublicComments, Part::PrivateComments, Part::Feeds];

/// All scopes there are. Clients stop at any other.
const ALL: [(&str, Subject, Level); 20] = [
    ("*:read", Subject::Room, Level::Read),
    ("*:write", Subject::Room, Level::Write),
    ("room:read", Subject::Room, Level::Read),
    ("room:write", Subject::Room, Level::Write),
    ("storage:read", Subject::Part(Part::Storage), Level::Read),
    ("storage:write", Subject::Part(Part::Storage), Level::Write),
    ("storage:none", Subject::Part(Part::Storage), Level::None),
    ("comments:read", Subject::Part(Part::Comments), Level::Read),
    ("comments:write", Subject::Part(Part::Comments), Level::Write),
    ("comments:none", Subject::Part(Part::Comments), Level::None),
    ("comments:public:read", Subject::Part(Part::PublicComments), Level::Read),
    ("comments:public:write", Subject::Part(Part::PublicComments), Level::Write),
    ("comments:public:none", Subject::Part(Part::PublicComments), Level::None),
    ("comments:private:read", Subject::Part(Part::PrivateComments), Level::Read),
    ("comments:private:write", Subject::Part(Part::PrivateComments), Level::Write),
    ("comments:private:none", Subject::Part(Part::PrivateComments), Level::None),
    ("feeds:read", Subject::Part(Part::Feeds), Level::Read),
    ("feeds:write", Subject::Part(Part::Feeds), Level::Write),
    ("feeds:none", Subject::Part(Part::Feeds), Level::None),
    ("room:presence:write", Subject::Nothing, Level::Write),
];

/// One of the protocol's scopes, as in `storage:read`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scope(u8);

/// A name that is no scope's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of the protocol's permissions (as *:read, *:write, storage:none)")]
pub struct UnknownScope(String);

impl Scope {
    /// The scope of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(name: &str) -> Result<Scope, UnknownScope> {
        let index = ALL.iter().position(|(known, _, _)| *known == name).and_then(|index| u8::try_from(index).ok());
        index.map(Scope).ok_or_else(|| UnknownScope(name.chars().take(64).collect()))
    }

    pub fn name(self) -> &'static str {
        ALL[usize::from(self.0)].0
    }

    fn meaning(self) -> (Subject, Level) {
        let (_, subject, level) = ALL[usize::from(self.0)];
        (subject, level)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        let name = String::deserialize(deserializer)?;
        Scope::parse(&name).map_err(serde::de::Error::custom)
    }
}

/// What scopes say, and what they leave open.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    base: Option<Level>,
    parts: [Option<Level>; PARTS.len()],
}

impl Said {
    /// The strongest that a list says of each.
    fn by(scopes: &[Scope]) -> Said {
        let mut said = Said::default();
        for (subject, level) in scopes.iter().map(|scope| scope.meaning()) {
            match subject {
                Subject::Room => said.base = said.base.max(Some(level)),
                Subject::Part(part) => said.parts[part as usize] = said.parts[part as usize].max(Some(level)),
                Subject::Nothing => {}
            }
        }
        said
    }

    /// What it says of `part`, which may be by a word about a greater one.
    fn of(&self, part: Part) -> Option<Level> {
        let greater = match part {
            Part::PublicComments | Part::PrivateComments => self.parts[Part::Comments as usize],
            Part::Storage | Part::Comments | Part::Feeds => None,
        };
        self.parts[part as usize].or(greater)
    }

    fn come_to(self) -> Option<Scopes> {
        let base = self.base?;
        let part = |part| self.of(part).unwrap_or(base);
        Some(Scopes { base, parts: PARTS.map(part) })
    }
}

/// What a client may do in one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    base: Level,
    parts: [Level; PARTS.len()],
}

impl Scopes {
    /// The same of everything.
    pub fn of_base(base: BaseAccess) -> Scopes {
        let base = match base {
            BaseAccess::Write => Level::Write,
            BaseAccess::Read => Level::Read,
        };
        Scopes { base, parts: [base; PARTS.len()] }
    }

    /// What one list comes to; `None` where it lets nobody in.
    pub fn of(scopes: &[Scope]) -> Option<Scopes> {
        Said::by(scopes).come_to()
    }

    /// The scopes that come to this.
    pub fn list(&self) -> Vec<Scope> {
        self.names().into_iter().filter_map(|name| Scope::parse(name).ok()).collect()
    }

    /// Whether its holder has no business in the room.
    pub fn is_empty(&self) -> bool {
        self.base == Level::None
    }

    pub fn may_read_storage(&self) -> bool {
        self.parts[Part::Storage as usize] >= Level::Read
    }

    pub fn may_write_storage(&self) -> bool {
        self.parts[Part::Storage as usize] == Level::Write
    }

    /// The same where nothing is changed.
    #[must_use]
    pub fn reading(self) -> Scopes {
        Scopes { base: self.base.min(Level::Read), parts: self.parts.map(|level| level.min(Level::Read)) }
    }

    /// The names by which clients are told of them: of the room, and of what differs from it.
    pub fn names(&self) -> Vec<&'static str> {
        let room = match self.base {
            Level::Write => "room:write",
            Level::Read => "room:read",
            Level::None => return Vec::new(),
        };
        let mut names = vec![room];
        for part in PARTS {
            let level = self.parts[part as usize];
            let unsaid = match part {
                Part::PublicComments | Part::PrivateComments => self.parts[Part::Comments as usize],
                Part::Storage | Part::Comments | Part::Feeds => self.base,
            };
            let is_it = |(_, subject, known): &&(_, Subject, Level)| *subject == Subject::Part(part) && *known == level;
            if level != unsaid {
                names.extend(ALL.iter().find(is_it).map(|(name, _, _)| *name));
            }
        }
        names
    }
}

/// What an access token allows, by patterns of rooms: the name of one, or what names begin with and `*`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Permissions(pub BTreeMap<String, Vec<Scope>>);

impl Permissions {
    /// What they come to in `room`; `None` where they let nobody in.
    ///
    /// The base is the strongest that any pattern says. Each part is as the longest pattern says that speaks of it.
    pub fn in_room(&self, room: &str) -> Option<Scopes> {
        let mut all = Said::default();
        let mut lengths = [None; PARTS.len()];
        for (pattern, scopes) in &self.0 {
            let (prefix, is_match) = match pattern.strip_suffix('*') {
                Some(prefix) => (prefix, room.starts_with(prefix)),
                None => (pattern.as_str(), room == pattern),
            };
            if !is_match {
                continue;
            }
            let said = Said::by(scopes);
            all.base = all.base.max(said.base);
            let length = Some(prefix.len());
            for part in PARTS {
                let Some(level) = said.of(part) else { continue };
                let (known, by) = (&mut all.parts[part as usize], &mut lengths[part as usize]);
                if length > *by {
                    (*known, *by) = (Some(level), length);
                } else if length == *by {
                    *known = (*known).max(Some(level));
                }
            }
        }
        all.come_to()
    }
}

/// Who may do what in a room, as its record has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accesses {
    /// Everybody. `None` where nobody has said: then the config does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_accesses: Option<Vec<Scope>>,
    /// Who is in a group.
    #[serde(default)]
    pub groups_accesses: BTreeMap<String, Vec<Scope>>,
    /// One user.
    #[serde(default)]
    pub users_accesses: BTreeMap<String, Vec<Scope>>,
}

impl Accesses {
    /// What a user comes to; `None` where nothing lets it in. A word about the user stands before one about its groups, of
    /// which the strongest counts, and that before a word about everybody.
    pub fn of_user(&self, user: &str, groups: &[String]) -> Option<Scopes> {
        let mut by_groups = Said::default();
        for said in groups.iter().filter_map(|group| self.groups_accesses.get(group)).map(|scopes| Said::by(scopes)) {
            by_groups.base = by_groups.base.max(said.base);
            for part in PARTS {
                let known = &mut by_groups.parts[part as usize];
                *known = (*known).max(said.of(part));
            }
        }
        let by_user = self.users_accesses.get(user).map(|scopes| Said::by(scopes)).unwrap_or_default();
        let mut all = Said::default();
        for said in [Said::by(self.of_all()), by_groups, by_user] {
            all.base = said.base.or(all.base);
            for part in PARTS {
                all.parts[part as usize] = said.of(part).or(all.parts[part as usize]);
            }
        }
        all.come_to()
    }

    /// What those come to whom nobody knows.
    pub fn of_anybody(&self) -> Option<Scopes> {
        Scopes::of(self.of_all())
    }

    /// The scopes of everybody.
    pub fn of_all(&self) -> &[Scope] {
        self.default_accesses.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<Scope> {
        names.iter().map(|name| Scope::parse(name).unwrap()).collect()
    }

    fn permissions(entries: &[(&str, &[&str])]) -> Permissions {
        Permissions(entries.iter().map(|(pattern, names)| ((*pattern).to_owned(), list(names))).collect())
    }

    fn names(scopes: Option<Scopes>) -> String {
        scopes.map_or("none".to_owned(), |scopes| scopes.names().join(" "))
    }

    #[test]
    fn the_list_is_closed() {
        for (name, _, _) in ALL {
            assert_eq!(Scope::parse(name).unwrap().name(), name);
        }
        for name in ["", "*", "room:none", "*:none", "storage:admin", "Room:read", "comments:public"] {
            assert!(Scope::parse(name).is_err(), "{name}");
        }
        assert!(serde_json::from_str::<Vec<Scope>>(r#"["room:read","room:eat"]"#).is_err());
        assert_eq!(serde_json::to_string(&list(&["*:read"])).unwrap(), r#"["*:read"]"#);
    }

    #[test]
    fn a_list_comes_to_a_base_and_what_differs_from_it() {
        for (scopes, said) in [
            (vec!["*:write"], "room:write"),
            (vec!["room:read", "room:presence:write"], "room:read"),
            (vec!["*:read", "room:write"], "room:write"),
            (vec!["*:read", "storage:write"], "room:read storage:write"),
            (vec!["*:write", "storage:none"], "room:write storage:none"),
            (vec!["*:write", "storage:write"], "room:write"),
            (vec!["*:write", "comments:read"], "room:write comments:read"),
            (vec!["*:write", "comments:none", "comments:public:read"], "room:write comments:none comments:public:read"),
            (vec!["*:read", "comments:private:none", "feeds:write"], "room:read comments:private:none feeds:write"),
            (vec!["*:read", "storage:none", "storage:read"], "room:read"),
            (vec!["storage:write"], "none"),
            (vec![], "none"),
        ] {
            assert_eq!(names(Scopes::of(&list(&scopes))), said, "{scopes:?}");
        }
    }

    #[test]
    fn storage_is_read_and_written_by_its_own_scope() {
        for (scopes, reads, writes) in [
            (vec!["*:write"], true, true),
            (vec!["*:read"], true, false),
            (vec!["*:read", "storage:write"], true, true),
            (vec!["*:write", "storage:read"], true, false),
            (vec!["*:write", "storage:none"], false, false),
        ] {
            let scopes = Scopes::of(&list(&scopes)).unwrap();
            assert_eq!((scopes.may_read_storage(), scopes.may_write_storage()), (reads, writes), "{scopes:?}");
            assert!(!scopes.is_empty() && !scopes.reading().may_write_storage());
            assert_eq!(scopes.reading().may_read_storage(), reads);
        }
        assert_eq!(Scopes::of_base(BaseAccess::Write).names(), ["room:write"]);
        assert_eq!(Scopes::of_base(BaseAccess::Write).reading().names(), ["room:read"]);
        assert_eq!(Scopes::of_base(BaseAccess::Read).names(), ["room:read"]);
    }

    #[test]
    fn patterns_match_a_name_or_what_it_begins_with() {
        let all = permissions(&[("doc:*", &["*:read"]), ("doc:1", &["*:write"])]);
        assert_eq!(names(all.in_room("doc:1")), "room:write");
        assert_eq!(names(all.in_room("doc:12")), "room:read");
        assert_eq!(names(all.in_room("doc:")), "room:read");
        assert_eq!(names(all.in_room("doc")), "none");
        assert_eq!(names(permissions(&[("*", &["*:write"])]).in_room("any")), "room:write");
        assert_eq!(names(Permissions::default().in_room("any")), "none");
    }

    #[test]
    fn the_base_is_the_strongest_and_a_part_the_nearest() {
        // The stronger base stands, however near the other is.
        let all = permissions(&[("*", &["*:write"]), ("a", &["*:read"])]);
        assert_eq!(names(all.in_room("a")), "room:write");
        let all =
            permissions(&[("*", &["*:write", "storage:write"]), ("a*", &["storage:none"]), ("ab", &["storage:read"])]);
        assert_eq!(names(all.in_room("x")), "room:write");
        assert_eq!(names(all.in_room("ax")), "room:write storage:none");
        assert_eq!(names(all.in_room("ab")), "room:write storage:read");
        // As near as each other: the strongest.
        let all = permissions(&[("ab", &["*:read", "storage:none"]), ("ab*", &["storage:write"])]);
        assert_eq!(names(all.in_room("ab")), "room:read storage:write");
        // A word about all comments that is nearer stands before one about some of them.
        let all = permissions(&[("*", &["*:write", "comments:public:none"]), ("a", &["comments:read"])]);
        assert_eq!(names(all.in_room("a")), "room:write comments:read");
        // Parts alone let nobody in.
        assert_eq!(names(permissions(&[("a", &["storage:write"])]).in_room("a")), "none");
    }

    #[test]
    fn a_user_stands_before_its_groups_and_those_before_all() {
        let accesses = |default: &[&str], groups: &[(&str, &[&str])], user: &[&str]| Accesses {
            default_accesses: Some(list(default)),
            groups_accesses: groups.iter().map(|(group, names)| ((*group).to_owned(), list(names))).collect(),
            users_accesses: [("ann".to_owned(), list(user))].into(),
        };
        let (g, h) = ("g".to_owned(), "h".to_owned());
        let both = accesses(&["*:write"], &[("g", &["*:read"]), ("h", &["*:read", "storage:write"])], &[]);
        assert_eq!(names(both.of_user("ann", &[])), "room:write");
        assert_eq!(names(both.of_user("ann", std::slice::from_ref(&g))), "room:read");
        assert_eq!(names(both.of_user("ann", &[g.clone(), h.clone()])), "room:read storage:write");
        let user = accesses(&[], &[("g", &["*:write"])], &["*:read"]);
        assert_eq!(names(user.of_user("ann", std::slice::from_ref(&g))), "room:read");
        assert_eq!(names(user.of_user("bob", &[g])), "room:write");
        assert_eq!(names(user.of_user("bob", &[h])), "none");
        let parts = accesses(&["*:read", "storage:write"], &[], &["*:write", "feeds:none"]);
        assert_eq!(names(parts.of_user("ann", &[])), "room:write feeds:none");
        assert_eq!(
            (names(parts.of_anybody()), names(user.of_anybody())),
            ("room:read storage:write".into(), "none".into())
        );
    }
}
