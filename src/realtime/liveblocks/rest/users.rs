//! Tokens for the app's users.

use serde_json::{Map, Value, json};

use super::Call;
use super::answer::{RestAnswer, RestError};
use crate::realtime::liveblocks::LiveblocksDoor;
use crate::realtime::liveblocks::room::{Invalid, LONGEST_NAME, name, scopes, text};
use crate::realtime::liveblocks::scopes::Permissions;
use crate::realtime::liveblocks::token::RoomGrant;

/// The most patterns of one token.
const MOST_PATTERNS: usize = 10;
/// The longest that others are told of a user, in characters of JSON.
const LONGEST_INFO: usize = 1_024;
/// The most groups of a user.
const MOST_GROUPS: usize = 1_000;

impl LiveblocksDoor {
    /// A token that says itself what a user may do.
    pub(super) fn authorize_user(&self, call: &Call, body: &Map<String, Value>) -> Result<RestAnswer, RestError> {
        let permissions = match body.get("permissions") {
            Some(Value::Object(permissions)) => permissions,
            _ => return Err(Invalid::new("permissions", "an object is needed, as {\"room:*\": [\"*:write\"]}").into()),
        };
        if permissions.len() > MOST_PATTERNS {
            let what = format!("a token has at most {MOST_PATTERNS} patterns of rooms");
            return Err(Invalid::new("permissions", what).into());
        }
        let mut granted = Permissions::default();
        for (pattern, list) in permissions {
            let field = format!("permissions.{pattern:.140}");
            if !is_pattern(pattern) {
                let what = format!("a pattern is *, or 1 to {LONGEST_NAME} characters and perhaps * behind them");
                return Err(Invalid::new(field, what).into());
            }
            let list = scopes(&field, list)?;
            if list.is_empty() {
                return Err(Invalid::new(field, "the list of permissions is empty").into());
            }
            granted.0.insert(pattern.clone(), list);
        }
        self.token(call, body, RoomGrant::Permissions(granted))
    }

    /// A token of a user whose rights the records of rooms say.
    pub(super) fn identify_user(&self, call: &Call, body: &Map<String, Value>) -> Result<RestAnswer, RestError> {
        let groups = match body.get("groupIds") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(groups)) if groups.len() <= MOST_GROUPS => {
                let group = |group: &Value| {
                    let group = group.as_str().ok_or_else(|| Invalid::new("groupIds", "groups are strings"))?;
                    name("groupIds", group).map(str::to_owned)
                };
                groups.iter().map(group).collect::<Result<_, _>>()?
            }
            Some(_) => {
                return Err(
                    Invalid::new("groupIds", format!("a list of at most {MOST_GROUPS} groups is needed")).into()
                );
            }
        };
        self.token(call, body, RoomGrant::Groups(groups))
    }

    fn token(&self, call: &Call, body: &Map<String, Value>, grant: RoomGrant) -> Result<RestAnswer, RestError> {
        let user = user(body)?;
        let info = info(body)?;
        let organization = match text(body, "organizationId")? {
            Some(organization) => Some(name("organizationId", organization)?.to_owned()),
            None => None,
        };
        let token = self.access.sign(user, info, grant, organization, call.now);
        let token = token.ok_or_else(|| RestError::forbidden("There is no secret key to sign tokens by"))?;
        Ok(RestAnswer::json(&json!({ "token": token })))
    }
}

/// The user that a body is about.
pub fn user(body: &Map<String, Value>) -> Result<&str, RestError> {
    let user = text(body, "userId")?.ok_or_else(|| Invalid::new("userId", "a string is needed"))?;
    Ok(name("userId", user)?)
}

/// What others are told of the user, as JSON.
pub fn info(body: &Map<String, Value>) -> Result<Option<String>, RestError> {
    match body.get("userInfo") {
        None | Some(Value::Null) => Ok(None),
        Some(info @ Value::Object(_)) => {
            let info = info.to_string();
            if info.chars().count() > LONGEST_INFO {
                let what = format!("it is longer than {LONGEST_INFO} characters of JSON");
                return Err(Invalid::new("userInfo", what).into());
            }
            Ok(Some(info))
        }
        Some(_) => Err(Invalid::new("userInfo", "an object is needed").into()),
    }
}

fn is_pattern(pattern: &str) -> bool {
    let start = pattern.strip_suffix('*').unwrap_or(pattern);
    pattern == "*" || (1..=LONGEST_NAME).contains(&start.chars().count()) && !start.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_its_star_at_the_end() {
        for pattern in ["*", "a", "a*", &"ä".repeat(128), &format!("{}*", "a".repeat(128))] {
            assert!(is_pattern(pattern), "{pattern}");
        }
        for pattern in ["", "**", "a*b", "*a", "a**", &"a".repeat(129)] {
            assert!(!is_pattern(pattern), "{pattern}");
        }
    }
}
