//! An event for clients that speak of namespaces and rooms, from JSON; and what they answer, to JSON.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Object;
use super::read::whole;
use crate::realtime::api::problem::ApiProblem;
use crate::realtime::hub::{AckReply, Answers};
use crate::realtime::socketio::app_format;
use crate::realtime::vocabulary::{ConnectionId, Payload, Publish};

/// Rooms and clients that one event may name, and may leave out.
const MAX_ROOMS: usize = 100;

/// The longest that answers are waited for, in milliseconds.
const MAX_TIMEOUT_MILLIS: u64 = 300_000;

/// An event, and how long it is waited for those who hear it to acknowledge it, if at all.
#[derive(Debug)]
pub struct Emission {
    pub publish: Publish,
    pub timeout: Option<Duration>,
}

/// Reads `{"name", "args", "namespace", "to", "except", "volatile", "serverTimeout"}`.
///
/// # Errors
/// 400 with all that is wrong.
pub fn emission(body: &[u8]) -> Result<Emission, ApiProblem> {
    whole(|wrongs| {
        let object = Object::read(body, "#".to_owned(), wrongs)?;
        let name = object.text("name");
        if name.is_none() && object.raw("name").is_none() {
            object.wrong_here("needs name, the event's");
        }
        let args = object.raw("args").map_or("[]", |args| args.get());
        if !args.starts_with('[') {
            object.wrong("args", "must be a list");
        }
        let namespace = object.text("namespace").unwrap_or_else(|| app_format::rooms::ROOT.to_owned());
        if !app_format::rooms::is_scope(&namespace) {
            object.wrong("namespace", "must begin with a slash, as in \"/admin\"");
        }
        let names = |key| {
            let names = object.texts(key);
            if names.as_ref().is_some_and(|names| names.is_empty() || names.len() > MAX_ROOMS) {
                object.wrong(key, format!("names from 1 to {MAX_ROOMS} rooms or clients"));
            }
            names.unwrap_or_default()
        };
        let (to, except) = (names("to"), names("except"));
        let volatile = object.value("volatile", "true or false").unwrap_or_default();
        let timeout: Option<u64> = object.value("serverTimeout", "a number of milliseconds");
        if timeout.is_some_and(|timeout| !(1..=MAX_TIMEOUT_MILLIS).contains(&timeout)) {
            object.wrong("serverTimeout", format!("must be from 1 to {MAX_TIMEOUT_MILLIS} milliseconds"));
        }
        let mut draft = app_format::event(&name?, args).map_err(|what| object.wrong_here(what)).ok()?;
        draft.volatile = volatile;
        let emit = app_format::Emit { scope: &namespace, to: &to, except: &except, but: None };
        let (audience, draft) = emit.address(draft).map_err(|bad| object.wrong_here(bad.to_string())).ok()?;
        let publish = Publish { ticket: 0, audience, draft, echo: true };
        Some(Emission { publish, timeout: timeout.map(Duration::from_millis) })
    })
}

/// What came of a question.
#[derive(Serialize)]
pub struct Acknowledged {
    results: Vec<Acknowledgement>,
    /// The connections that were asked and have not answered, where not all have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Acknowledgement {
    connection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<Box<str>>,
    args: Box<RawValue>,
}

/// `{"results", "missing"}`.
pub fn acknowledged(answers: Answers) -> Acknowledged {
    let is_whole = answers.missing.is_empty() && answers.missing_doors == 0;
    Acknowledged {
        results: answers.given.into_iter().map(|(from, given)| acknowledgement(from, &given)).collect(),
        missing: (!is_whole).then(|| answers.missing.iter().map(ConnectionId::to_string).collect()),
    }
}

fn acknowledgement(from: ConnectionId, given: &AckReply) -> Acknowledgement {
    let args = match &given.data {
        Payload::Json(json) => app_format::inline(json, &app_format::attached(&given.extras)).to_string(),
        Payload::Text(_) | Payload::Binary(_) => "[]".to_owned(),
    };
    Acknowledgement {
        connection: from.to_string(),
        socket: given.alias.as_deref().map(Into::into),
        // It was checked when it came.
        args: RawValue::from_string(args).unwrap_or_default(),
    }
}
