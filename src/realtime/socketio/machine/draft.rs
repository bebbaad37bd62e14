//! What an event is on its way through the hub, so that clients of every dialect can make something of it.
//!
//! One argument is the message's data itself: a string is text, bytes are bytes, the rest is JSON. Several arguments
//! (or none) are a JSON array, marked so. Bytes inside of JSON are `{"_placeholder":true,"num":0}` and go along as
//! attachments.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::packet::Args;
use crate::realtime::vocabulary::{Draft, Extras, Payload, Text};

/// The data is the array of all arguments.
pub const ARGS: &str = "socketio.args";
/// One of the attachments, in order.
pub const ATTACHMENT: &str = "socketio.attachment";
/// The namespace of a message that is in no channel.
pub const SCOPE: &str = "socketio.scope";
/// The ids of those whom a message in no channel is for, one after another.
pub const TO: &str = "socketio.to";

static KEYS: LazyLock<[Arc<str>; 4]> = LazyLock::new(|| [ARGS, ATTACHMENT, SCOPE, TO].map(Arc::from));
static MARKED: LazyLock<Extras> = LazyLock::new(|| Extras::new([(Arc::clone(&KEYS[0]), Bytes::new())]));

/// An event with the arguments from `first` on.
pub fn draft(name: Arc<str>, args: &Args, first: usize) -> Draft {
    let (data, extras) = content(args, first);
    Draft { name: Some(name), extras, ..Draft::new(data) }
}

/// The arguments from `first` on, as a message carries them.
pub fn content(args: &Args, first: usize) -> (Payload, Extras) {
    let one = if args.len() == first + 1 { args.raw(first) } else { None };
    match (one, args.attachments.as_slice()) {
        (Some(raw), []) => (single(raw), Extras::default()),
        (Some(raw), [bytes]) if is_placeholder(&raw) => (Payload::Binary(bytes.clone()), Extras::default()),
        (_, []) => (Payload::Json(args.array(first)), MARKED.clone()),
        (_, attachments) => {
            let marker = (Arc::clone(&KEYS[0]), Bytes::new());
            let extras = Extras::new(std::iter::once(marker).chain(kept(attachments)));
            (Payload::Json(args.array(first)), extras)
        }
    }
}

/// Extras of a message whose JSON has placeholders for `attachments`.
pub fn attachments(attachments: &[Bytes]) -> Extras {
    Extras::new(kept(attachments))
}

/// The attachments of a message.
pub fn attached(extras: &Extras) -> Vec<Bytes> {
    extras.all(ATTACHMENT).cloned().collect()
}

fn kept(attachments: &[Bytes]) -> impl Iterator<Item = (Arc<str>, Bytes)> + '_ {
    attachments.iter().map(|bytes| (Arc::clone(&KEYS[1]), bytes.clone()))
}

/// The same message, for clients of `scope` that are called `to`, in no channel.
pub fn addressed(draft: Draft, scope: &str, to: &str) -> Draft {
    let mut extras: Vec<_> = draft.extras.each().collect();
    extras.push((Arc::clone(&KEYS[2]), Bytes::copy_from_slice(scope.as_bytes())));
    if !to.is_empty() {
        extras.push((Arc::clone(&KEYS[3]), Bytes::copy_from_slice(to.as_bytes())));
    }
    Draft { extras: Extras::new(extras), ..draft }
}

/// A JSON value: a string is text.
fn single(raw: Text) -> Payload {
    if !raw.starts_with('"') {
        return Payload::Json(raw);
    }
    let text = if raw.contains('\\') {
        serde_json::from_str::<String>(&raw).ok().map(Text::from)
    } else {
        raw.slice(1..raw.len() - 1)
    };
    // A lone surrogate has no text.
    text.map_or(Payload::Json(raw), Payload::Text)
}

fn is_placeholder(raw: &str) -> bool {
    let value: Result<serde_json::Map<String, serde_json::Value>, _> = crate::json::from_str(raw);
    value.is_ok_and(|fields| fields.get("_placeholder") == Some(&serde_json::Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    fn of(text: &str, attachments: &[&'static [u8]]) -> Draft {
        let attachments = attachments.iter().copied().map(Bytes::from_static).collect();
        draft("e".into(), &Args::read(text.into(), attachments, &Config::default()).unwrap(), 1)
    }

    #[test]
    fn one_argument_is_the_data() {
        assert_eq!(of(r#"["e","hi"]"#, &[]).data, Payload::Text("hi".into()));
        assert_eq!(of(r#"["e","a\"b\u00e4"]"#, &[]).data, Payload::Text("a\"bä".into()));
        assert_eq!(of(r#"["e","\ud800"]"#, &[]).data, Payload::Json(r#""\ud800""#.into()));
        assert_eq!(of(r#"["e",[1, 2]]"#, &[]).data, Payload::Json("[1, 2]".into()));
        assert_eq!(of(r#"["e",[1, 2]]"#, &[]).extras, Extras::default());
        let binary = of(r#"["e",{"_placeholder":true,"num":0}]"#, &[b"abc"]);
        assert_eq!(binary.data, Payload::Binary(Bytes::from_static(b"abc")));
    }

    #[test]
    fn several_are_an_array_that_is_marked() {
        let draft = of(r#"["e",1,"b"]"#, &[]);
        assert_eq!(draft.data, Payload::Json("[1,\"b\"]".into()));
        assert!(draft.extras.of(ARGS).is_some());
        assert_eq!(of(r#"["e"]"#, &[]).data, Payload::Json("[]".into()));
        let draft = of(r#"["e",{"a":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}]"#, &[b"x", b"y"]);
        assert_eq!(draft.extras.all(ATTACHMENT).count(), 2);
    }
}
