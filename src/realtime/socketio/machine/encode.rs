//! What Socket.IO clients read, in either way of writing packets. Nothing in it is one client's own, so that it is made
//! once for all: ids of questions are the hub's.

use std::fmt::Write;

use bytes::Bytes;

use super::config::Parser;
use super::draft::{ARGS, attached};
use super::packet::RESERVED;
use super::rooms::{self, ROOT};
use super::write;
use crate::realtime::dialect::{Encode, Encoded};
use crate::realtime::vocabulary::json_writer::quote;
use crate::realtime::vocabulary::{Draft, EncodedFrames, Event, Frame, Payload};

/// How clients read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketIoEncoder {
    pub parser: Parser,
    /// Events say where they are, so that their clients can come back to there.
    pub recovers: bool,
}

/// What the last argument of an event says to a client that can come back.
#[derive(Clone, Copy)]
pub enum OffsetSlot<'a> {
    /// It has this event, and all before it.
    At(&'a dyn std::fmt::Display),
    /// Nothing.
    Nowhere,
}

impl Encode for SocketIoEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        let Event::Message(message) = event else {
            return if let Event::Presence { .. } = event { Encoded::Skip } else { Encoded::PerClient };
        };
        // The protocol has no word for what becomes of an event.
        if !message.is_ordinary() {
            return Encoded::Skip;
        }
        let draft = &message.draft;
        let (scope, _) = rooms::place(&message.channel);
        let place = if is_kept(draft) { OffsetSlot::At(&message.position) } else { OffsetSlot::Nowhere };
        self.event(scope, draft, place).map_or(Encoded::Skip, Encoded::Shared)
    }

    fn answers(&self) -> bool {
        true
    }
}

impl SocketIoEncoder {
    /// An event as its frames; `None` for a name that clients keep to themselves.
    pub fn event(&self, scope: &str, draft: &Draft, place: OffsetSlot) -> Option<EncodedFrames> {
        let name = draft.name.as_deref().unwrap_or("message");
        if RESERVED.contains(&name) {
            return None;
        }
        let (args, attachments) = arguments(draft);
        let mut array = String::with_capacity(name.len() + args.len() + 32);
        array.push('[');
        quote(&mut array, name);
        array.push_str(&args);
        if self.recovers {
            match place {
                OffsetSlot::At(offset) => _ = write!(array, ",\"{offset}\""),
                // A client takes any text there for its place; with a question, its callback stands last.
                OffsetSlot::Nowhere if draft.asks.is_none() && array.ends_with('"') => array.push_str(",null"),
                OffsetSlot::Nowhere => {}
            }
        }
        array.push(']');
        Some(self.packet(write::EVENT, scope, draft.asks, &array, attachments))
    }

    /// A packet with arguments: `array` is JSON with placeholders for `attachments`.
    pub fn packet(
        &self,
        kind: u8,
        scope: &str,
        id: Option<u64>,
        array: &str,
        attachments: Vec<Bytes>,
    ) -> EncodedFrames {
        if self.parser == Parser::Msgpack {
            return Frame::Binary(super::msgpack::packet(kind, scope, id, array, &attachments)).into();
        }
        let mut text = String::with_capacity(array.len() + scope.len() + 32);
        text.push('4');
        if attachments.is_empty() {
            text.push(char::from(b'0' + kind));
        } else {
            // BINARY_EVENT and BINARY_ACK are three above their plain kin.
            let _ = write!(text, "{}{}-", kind + 3, attachments.len());
        }
        if scope != ROOT {
            text.push_str(scope);
            text.push(',');
        }
        if let Some(id) = id {
            let _ = write!(text, "{id}");
        }
        text.push_str(array);
        if attachments.is_empty() {
            return Frame::text(text).into();
        }
        EncodedFrames::several(
            std::iter::once(Frame::text(text)).chain(attachments.into_iter().map(Frame::Binary)).collect(),
        )
    }

    /// A packet with an object or nothing.
    pub fn notice(&self, kind: u8, scope: &str, object: Option<&str>) -> EncodedFrames {
        match (self.parser, object) {
            (Parser::Json, object) => self.packet(kind, scope, None, object.unwrap_or_default(), Vec::new()),
            (Parser::Msgpack, Some(object)) => self.packet(kind, scope, None, object, Vec::new()),
            (Parser::Msgpack, None) => Frame::Binary(super::msgpack::bare(kind, scope)).into(),
        }
    }
}

/// Whether who lost its link is told this when it comes back: as with the Node server, no volatile events, and no
/// questions, whose asker no longer waits.
pub fn is_kept(draft: &Draft) -> bool {
    !draft.volatile && !draft.passing && draft.asks.is_none()
}

/// The arguments of a message, each with a comma before it, and the bytes that belong in them.
fn arguments(draft: &Draft) -> (String, Vec<Bytes>) {
    let mut args = String::with_capacity(draft.data.len() + 8);
    let attachments: Vec<Bytes> = attached(&draft.extras);
    match &draft.data {
        Payload::Json(json) if draft.extras.of(ARGS).is_some() => {
            let inner =
                json.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default().trim();
            if !inner.is_empty() {
                args.push(',');
                args.push_str(inner);
            }
        }
        Payload::Json(json) => {
            args.push(',');
            args.push_str(json.trim());
        }
        Payload::Text(text) => {
            args.push(',');
            quote(&mut args, text);
        }
        Payload::Binary(bytes) => {
            args.push_str(",{\"_placeholder\":true,\"num\":0}");
            return (args, vec![bytes.clone()]);
        }
    }
    (args, attachments)
}

/// The array of what a client's question is answered with.
pub fn answer(data: Option<&Payload>) -> String {
    match data {
        None => "[]".to_owned(),
        Some(Payload::Json(json)) if json.trim_start().starts_with('[') => json.trim().to_owned(),
        Some(Payload::Json(json)) => format!("[{json}]"),
        Some(Payload::Text(text)) => {
            let mut array = String::with_capacity(text.len() + 8);
            array.push('[');
            quote(&mut array, text);
            array.push(']');
            array
        }
        Some(Payload::Binary(_)) => "[{\"_placeholder\":true,\"num\":0}]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::draft::draft;
    use super::super::packet::Args;
    use super::*;

    const JSON: SocketIoEncoder = SocketIoEncoder { parser: Parser::Json, recovers: false };

    fn shown(encoded: Option<EncodedFrames>) -> Vec<String> {
        let shown = |frame: &Frame| if let Frame::Text(text) = frame { text.to_string() } else { format!("{frame:?}") };
        encoded.map_or(Vec::new(), |encoded| encoded.frames().iter().map(shown).collect())
    }

    fn of(text: &str, attachments: &[&'static [u8]]) -> Draft {
        let attachments = attachments.iter().copied().map(Bytes::from_static).collect();
        let args = Args::read(text.into(), attachments, &Config::default()).unwrap();
        draft(args.name(64).unwrap(), &args, 1)
    }

    #[test]
    fn what_came_in_goes_out() {
        for text in [r#"["a"]"#, r#"["a","b"]"#, r#"["a",[1],{"b":null}]"#, r#"["a",""]"#, r#"["a\"b",[]]"#] {
            assert_eq!(shown(JSON.event("/", &of(text, &[]), OffsetSlot::Nowhere)), [format!("42{text}")]);
            assert_eq!(shown(JSON.event("/x", &of(text, &[]), OffsetSlot::Nowhere)), [format!("42/x,{text}")]);
        }
        let text = r#"["a",{"_placeholder":true,"num":0}]"#;
        assert_eq!(
            shown(JSON.event("/x", &of(text, &[b"z"]), OffsetSlot::Nowhere)),
            [format!("451-/x,{text}"), "Binary(b\"z\")".into()]
        );
        let text = r#"["a",{"b":{"_placeholder":true,"num":0}},1,{"_placeholder":true,"num":1}]"#;
        assert_eq!(shown(JSON.event("/", &of(text, &[b"y", b"z"]), OffsetSlot::Nowhere))[0], format!("452-{text}"));
    }

    #[test]
    fn a_question_has_its_number() {
        let asking = Draft { asks: Some(7), ..of(r#"["a","b"]"#, &[]) };
        assert_eq!(shown(JSON.event("/x", &asking, OffsetSlot::Nowhere)), [r#"42/x,7["a","b"]"#]);
    }

    #[test]
    fn messages_of_other_dialects_are_events() {
        assert_eq!(
            shown(JSON.event("/", &Draft::new(Payload::Text("a\"\n".into())), OffsetSlot::Nowhere)),
            [r#"42["message","a\"\n"]"#]
        );
        let named = Draft { name: Some("connect".into()), ..Draft::new(Payload::Json("{}".into())) };
        assert!(JSON.event("/", &named, OffsetSlot::Nowhere).is_none());
    }
}
