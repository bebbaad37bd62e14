//! The language by which an app looks for rooms: `roomId^'doc:' metadata['kind']:'board' metadata['old']:null`, of which all
//! has to be true.

use super::{Invalid, LONGEST_METADATA, Metadata, RoomRecord};

/// The longest query, in bytes.
const LONGEST_QUERY: usize = 16 * 1024;
/// The most conditions of one.
const MOST_CONDITIONS: usize = 50;

/// What a room has to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomQuery {
    conditions: Vec<Condition>,
}

/// All by which a list of rooms is narrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomFilter {
    pub query: RoomQuery,
    /// Rooms where this user is named.
    pub user: Option<String>,
    /// Rooms where one of these groups is named; nothing for any.
    pub groups: Vec<String>,
    pub organization: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    field: Field,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    RoomId,
    Metadata(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(String),
    BeginsWith(String),
    IsAbsent,
    /// What no text is: a number, true, false.
    Never,
}

impl RoomFilter {
    pub fn matches(&self, id: &str, room: &RoomRecord) -> bool {
        let accesses = &room.accesses;
        self.query.matches(id, room)
            && self.user.as_ref().is_none_or(|user| accesses.users_accesses.contains_key(user))
            && (self.groups.is_empty() || self.groups.iter().any(|group| accesses.groups_accesses.contains_key(group)))
            && self.organization.as_ref().is_none_or(|organization| *organization == room.organization_id)
    }
}

impl RoomQuery {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Invalid`], with the place.
    pub fn parse(query: &str) -> Result<RoomQuery, Invalid> {
        if query.len() > LONGEST_QUERY {
            return Err(Invalid::new("query", format!("it is longer than {LONGEST_QUERY} bytes")));
        }
        let mut reader = Reader { rest: query, all: query };
        let mut conditions = Vec::new();
        while reader.skip_space() {
            if !conditions.is_empty() && reader.takes_word("AND") && !reader.skip_space() {
                return Err(reader.bad("a condition is expected behind AND"));
            }
            if conditions.len() == MOST_CONDITIONS {
                return Err(reader.bad(&format!("there are more than {MOST_CONDITIONS} conditions")));
            }
            conditions.push(reader.condition()?);
        }
        Ok(RoomQuery { conditions })
    }

    pub fn matches(&self, id: &str, room: &RoomRecord) -> bool {
        self.conditions.iter().all(|condition| match &condition.field {
            Field::RoomId => condition.test.matches(Some(id)),
            Field::Metadata(key) => match room.metadata.get(key) {
                None => condition.test.matches(None),
                Some(Metadata::Text(text)) => condition.test.matches(Some(text)),
                Some(Metadata::List(list)) => list.iter().any(|text| condition.test.matches(Some(text))),
            },
        })
    }

    /// What the names of all rooms that it finds begin with.
    pub fn prefix(&self) -> &str {
        let prefix = |condition: &'_ Condition| match (&condition.field, &condition.test) {
            (Field::RoomId, Test::Is(text) | Test::BeginsWith(text)) => Some(text.len()),
            _ => None,
        };
        let longest = self.conditions.iter().filter(|condition| prefix(condition).is_some()).max_by_key(|c| prefix(c));
        match longest.map(|condition| &condition.test) {
            Some(Test::Is(text) | Test::BeginsWith(text)) => text,
            _ => "",
        }
    }
}

impl Test {
    fn matches(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Test::Is(text), Some(value)) => value == text,
            (Test::BeginsWith(text), Some(value)) => value.starts_with(text.as_str()),
            (Test::IsAbsent, value) => value.is_none(),
            (Test::Never, _) | (_, None) => false,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    all: &'a str,
}

impl Reader<'_> {
    fn bad(&self, what: &str) -> Invalid {
        let at = self.all[..self.all.len() - self.rest.len()].chars().count() + 1;
        Invalid::new("query", format!("{what}, at character {at}"))
    }

    /// Whether anything is left.
    fn skip_space(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        !self.rest.is_empty()
    }

    fn takes(&mut self, what: &str) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The same of a word, which is over where no letter follows.
    fn takes_word(&mut self, word: &str) -> bool {
        let is_over = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        self.rest.strip_prefix(word).is_some_and(is_over) && self.takes(word)
    }

    fn condition(&mut self) -> Result<Condition, Invalid> {
        let field = if self.takes_word("roomId") {
            Field::RoomId
        } else if self.takes_word("metadata") {
            Field::Metadata(self.key()?)
        } else {
            return Err(self.bad("roomId or metadata['key'] is expected"));
        };
        self.skip_space();
        let is_prefix = self.takes("^");
        if !is_prefix && !self.takes(":") {
            return Err(self.bad("an operator is expected: `:` (is) or `^` (begins with)"));
        }
        self.skip_space();
        let test = if self.rest.starts_with(['\'', '"']) {
            let text = self.text()?;
            if is_prefix { Test::BeginsWith(text) } else { Test::Is(text) }
        } else if is_prefix {
            return Err(self.bad("a quoted text is expected behind ^"));
        } else {
            self.scalar()?
        };
        if !self.rest.is_empty() && !self.rest.starts_with(char::is_whitespace) {
            return Err(self.bad("a space is expected between conditions"));
        }
        Ok(Condition { field, test })
    }

    fn key(&mut self) -> Result<String, Invalid> {
        if !self.takes("[") {
            return Err(self.bad("a key is expected, as metadata['key']"));
        }
        self.skip_space();
        let key = self.text()?;
        self.skip_space();
        if self.takes("]") { Ok(key) } else { Err(self.bad("] is expected")) }
    }

    /// Text in quotes of either kind, with JSON's escapes.
    fn text(&mut self) -> Result<String, Invalid> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let quote = quote.ok_or_else(|| self.bad("a quoted text is expected"))?;
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let is_end = !escaped && *c == quote;
            escaped = !escaped && *c == '\\';
            is_end
        });
        let Some((end, _)) = end else { return Err(self.bad("the text that begins here is not closed")) };
        let inner = &self.rest[1..end];
        // In single quotes a double one stands for itself.
        let json = if quote == '"' { format!("\"{inner}\"") } else { format!("\"{}\"", requoted(inner)) };
        let text: String =
            serde_json::from_str(&json).map_err(|_| self.bad("the text that begins here has a bad escape"))?;
        if text.chars().count() > LONGEST_METADATA {
            return Err(self.bad(&format!("the text that begins here is longer than {LONGEST_METADATA} characters")));
        }
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    fn scalar(&mut self) -> Result<Test, Invalid> {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let test = match serde_json::from_str(&self.rest[..end]) {
            Ok(serde_json::Value::Null) => Test::IsAbsent,
            Ok(serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => Test::Never,
            _ => return Err(self.bad("a quoted text or null is expected")),
        };
        self.rest = &self.rest[end..];
        Ok(test)
    }
}

/// The inside of single quotes as it has to be in double ones.
fn requoted(inner: &str) -> String {
    let mut json = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            '"' if !escaped => json.push_str("\\\""),
            // JSON knows no such escape, and needs none.
            '\'' if escaped => {
                json.pop();
                json.push('\'');
            }
            c => json.push(c),
        }
        escaped = !escaped && c == '\\';
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn room() -> RoomRecord {
        let body = json!({
            "defaultAccesses": [], "usersAccesses": { "ann": [] }, "groupsAccesses": { "g": [] },
            "metadata": { "kind": "board", "tags": ["red", "blue"], "it's": "a \"b\"\n" },
        });
        RoomRecord::create(body.as_object().unwrap(), 0).unwrap()
    }

    fn finds(query: &str) -> bool {
        RoomQuery::parse(query).unwrap().matches("doc:1", &room())
    }

    #[test]
    fn all_conditions_have_to_be_true() {
        for (query, is_found) in [
            ("", true),
            ("  ", true),
            ("roomId:'doc:1'", true),
            ("roomId:'doc:2'", false),
            ("roomId^'doc:'", true),
            ("roomId^\"x\"", false),
            ("metadata['kind']:'board'", true),
            ("metadata[\"kind\"]:\"board\"", true),
            ("metadata['kind']^'bo'", true),
            ("metadata['kind']:null", false),
            ("metadata['none']:null", true),
            ("metadata['none']:'x'", false),
            ("metadata['none']^''", false),
            ("metadata['tags']:'blue'", true),
            ("metadata['tags']:'green'", false),
            ("metadata['kind']:7", false),
            ("metadata['kind']:true", false),
            ("roomId^'doc:' metadata['kind']:'board' metadata['none']:null", true),
            ("roomId^'doc:' metadata['kind']:'list'", false),
            ("roomId^'doc:' AND metadata['kind']:'board'", true),
            // As the client library quotes them.
            (r#"metadata["it's"]:'a "b"\n'"#, true),
            (r#"metadata["it's"]:"a \"b\"\n""#, true),
            (r"metadata['it\'s']:'a \u0022b\u0022\n'", true),
        ] {
            assert_eq!(finds(query), is_found, "{query}");
        }
    }

    #[test]
    fn what_is_no_query_is_named_with_its_place() {
        for (query, at) in [
            ("kind:'a'", 1),
            ("roomId", 7),
            ("roomId>'a'", 7),
            ("roomId:'a", 8),
            ("roomId:a", 8),
            ("roomId^null", 8),
            ("roomId^7", 8),
            ("roomIdx:'a'", 1),
            ("metadata:'a'", 9),
            ("metadata[kind]:'a'", 10),
            ("metadata['kind':'a'", 16),
            ("roomId:'a'roomId:'b'", 11),
            ("roomId:'ä' AND", 15),
            ("AND roomId:'a'", 1),
            (r"roomId:'a\", 8),
            (r"roomId:'\x'", 8),
            (r"roomId:'\ud800'", 8),
        ] {
            let error = RoomQuery::parse(query).unwrap_err().to_string();
            assert!(error.ends_with(&format!("at character {at}")), "{query}: {error}");
        }
        assert!(RoomQuery::parse(&"roomId:'a' ".repeat(MOST_CONDITIONS)).is_ok());
        assert!(RoomQuery::parse(&"roomId:'a' ".repeat(MOST_CONDITIONS + 1)).is_err());
        assert!(RoomQuery::parse(&" ".repeat(LONGEST_QUERY + 1)).is_err());
        assert!(RoomQuery::parse(&format!("roomId:'{}'", "a".repeat(LONGEST_METADATA + 1))).is_err());
    }

    #[test]
    fn a_query_says_what_names_begin_with() {
        let prefix = |query: &str| RoomQuery::parse(query).unwrap().prefix().to_owned();
        assert_eq!(prefix("metadata['a']:'b'"), "");
        assert_eq!(prefix("roomId^'a' metadata['a']:'longer' roomId:'abc'"), "abc");
        assert_eq!(prefix("roomId:null"), "");
    }

    #[test]
    fn a_list_is_narrowed_by_user_group_and_organization() {
        let finds = |filter: RoomFilter| filter.matches("a", &room());
        let text = |text: &str| Some(text.to_owned());
        assert!(finds(RoomFilter::default()));
        assert!(finds(RoomFilter { user: text("ann"), organization: text("default"), ..RoomFilter::default() }));
        assert!(finds(RoomFilter { groups: vec!["h".into(), "g".into()], ..RoomFilter::default() }));
        assert!(!finds(RoomFilter { user: text("bob"), ..RoomFilter::default() }));
        assert!(!finds(RoomFilter { groups: vec!["h".into()], ..RoomFilter::default() }));
        assert!(!finds(RoomFilter { organization: text("other"), ..RoomFilter::default() }));
    }
}
