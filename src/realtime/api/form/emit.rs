//! An event for clients that speak of namespaces and rooms, from JSON.

use super::Object;
use super::read::whole;
use crate::realtime::api::problem::Problem;
use crate::realtime::dialect::socketio;
use crate::realtime::vocabulary::Publish;

/// Rooms and clients that one event may name, and may leave out.
const MOST: usize = 100;

/// Reads `{"name", "args", "namespace", "to", "except", "volatile"}`.
///
/// # Errors
/// 400 with all that is wrong.
pub fn emission(body: &[u8]) -> Result<Publish, Problem> {
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
        let namespace = object.text("namespace").unwrap_or_else(|| socketio::rooms::ROOT.to_owned());
        if !socketio::rooms::is_scope(&namespace) {
            object.wrong("namespace", "must begin with a slash, as in \"/admin\"");
        }
        let names = |key| {
            let names = object.texts(key);
            if names.as_ref().is_some_and(|names| names.is_empty() || names.len() > MOST) {
                object.wrong(key, format!("names from 1 to {MOST} rooms or clients"));
            }
            names.unwrap_or_default()
        };
        let (to, except) = (names("to"), names("except"));
        let volatile = object.value("volatile", "true or false").unwrap_or_default();
        let mut draft = socketio::event(&name?, args).map_err(|what| object.wrong_here(what)).ok()?;
        draft.volatile = volatile;
        let emit = socketio::Emit { scope: &namespace, to: &to, except: &except, but: None };
        let (audience, draft) = emit.address(draft).map_err(|bad| object.wrong_here(bad.to_string())).ok()?;
        Some(Publish { ticket: 0, audience, draft, echo: true })
    })
}
