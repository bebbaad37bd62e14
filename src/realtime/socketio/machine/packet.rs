//! Packets as text (Socket.IO protocol 5): `type[attachments-][/namespace,][id][json]`.

use bytes::Bytes;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::config::Config;
use super::rooms::ROOT;
use crate::json;
use crate::realtime::vocabulary::Text;

/// What kind of packet it is, whether it has attachments or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
}

/// The parts of a packet, its body unread.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    pub kind: PacketKind,
    pub scope: Text,
    pub id: Option<u64>,
    /// How many frames with bytes follow.
    pub attachments: usize,
    pub body: Text,
}

/// Why a packet cannot be understood: the client's fault, and the end of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    #[error("unknown packet type")]
    PacketKind,
    #[error("illegal attachments")]
    Attachments,
    #[error("too many attachments")]
    TooManyAttachments,
    #[error("invalid packet id")]
    Id,
    #[error("invalid payload")]
    Payload,
    #[error("arguments are nested too deeply")]
    Nesting,
    #[error("reserved event name")]
    Reserved,
    #[error("event name too long")]
    NameTooLong,
    #[error("not expected in this state")]
    NamespaceState,
    #[error("not MessagePack")]
    Msgpack,
}

/// Names that mean something to the client library itself.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

impl Packet {
    /// Takes a text packet apart.
    ///
    /// # Errors
    /// [`BadPacket`].
    pub fn read(text: &Text, most_attachments: usize) -> Result<Packet, BadPacket> {
        let whole = text.as_str();
        let (kind, is_binary) = match whole.as_bytes().first() {
            Some(b'0') => (PacketKind::Connect, false),
            Some(b'1') => (PacketKind::Disconnect, false),
            Some(b'2') => (PacketKind::Event, false),
            Some(b'3') => (PacketKind::Ack, false),
            Some(b'4') => (PacketKind::ConnectError, false),
            Some(b'5') => (PacketKind::Event, true),
            Some(b'6') => (PacketKind::Ack, true),
            _ => return Err(BadPacket::PacketKind),
        };
        let mut at = 1;
        let mut attachments = 0;
        if is_binary {
            let digits = digits(&whole[at..]);
            attachments = whole[at..at + digits].parse().map_err(|_| BadPacket::Attachments)?;
            if attachments == 0 || whole.as_bytes().get(at + digits) != Some(&b'-') {
                return Err(BadPacket::Attachments);
            }
            if attachments > most_attachments {
                return Err(BadPacket::TooManyAttachments);
            }
            at += digits + 1;
        }
        let mut scope = Text::from_static(ROOT);
        if whole.as_bytes().get(at) == Some(&b'/') {
            let end = memchr::memchr(b',', &whole.as_bytes()[at..]).map_or(whole.len(), |place| at + place);
            scope = part(text, at, end);
            at = (end + 1).min(whole.len());
        }
        let number = whole[at..].len() - whole[at..].trim_start_matches(is_of_a_number).len();
        let id = id(&whole[at..at + number]);
        let body = part(text, at + number, whole.len());
        Packet { kind, scope, id, attachments, body }.checked()
    }

    /// Itself, if its body can be what its kind needs.
    ///
    /// # Errors
    /// [`BadPacket::Payload`].
    pub fn checked(self) -> Result<Packet, BadPacket> {
        if self.is_sound() { Ok(self) } else { Err(BadPacket::Payload) }
    }

    /// What can be said of a body without reading all of it.
    fn is_sound(&self) -> bool {
        match self.kind {
            PacketKind::Connect => self.body.is_empty() || self.body.starts_with('{'),
            PacketKind::Disconnect => self.body.is_empty(),
            PacketKind::Event | PacketKind::Ack => self.body.starts_with('['),
            PacketKind::ConnectError => true,
        }
    }
}

/// What the JavaScript server takes for a part of a packet's id: digits, and white space, which is zero to it.
fn is_of_a_number(char: char) -> bool {
    char.is_ascii_digit() || is_space(char)
}

/// White space of JavaScript: Unicode's, but for one that is a control character here.
fn is_space(char: char) -> bool {
    char == '\u{feff}' || char.is_whitespace() && char != '\u{85}'
}

/// The number that such a text is. None where it is none, or one so great that no client counts that far: such an event is
/// as good as any, but nothing answers it.
fn id(text: &str) -> Option<u64> {
    match text.trim_matches(is_space) {
        "" if text.is_empty() => None,
        "" => Some(0),
        digits => digits.parse().ok(),
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn part(text: &Text, from: usize, to: usize) -> Text {
    // All bounds are beside ASCII.
    text.slice(from..to).unwrap_or_default()
}

/// The arguments of an event or an acknowledgement, checked and told apart, but not read.
#[derive(Debug, Clone, PartialEq)]
pub struct Args {
    /// One JSON array, in which bytes are `{"_placeholder":true,"num":0}`.
    text: Text,
    /// Its elements.
    spans: SmallVec<[(u32, u32); 4]>,
    pub attachments: Vec<Bytes>,
}

impl Args {
    /// Checks that `text` is a JSON array that all of `attachments` belong in.
    ///
    /// # Errors
    /// [`BadPacket`].
    pub fn read(text: Text, attachments: Vec<Bytes>, config: &Config) -> Result<Args, BadPacket> {
        if u32::try_from(text.len()).is_err() || is_deeper(&text, config.max_nesting + 1) {
            return Err(BadPacket::Nesting);
        }
        let spans = {
            let Elements(elements) = serde_json::from_str(&text).map_err(|_| BadPacket::Payload)?;
            let start = text.as_ptr() as usize;
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let span = |raw: &&RawValue| {
                let from = raw.get().as_ptr() as usize - start;
                (place(from), place(from + raw.get().len()))
            };
            elements.iter().map(span).collect()
        };
        if !attachments.is_empty() {
            let value = json::from_str(&text).map_err(|_| BadPacket::Payload)?;
            if !holds(&value, attachments.len()) {
                return Err(BadPacket::Attachments);
            }
        }
        Ok(Args { text, spans, attachments })
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The JSON of one of them.
    pub fn raw(&self, index: usize) -> Option<Text> {
        let (from, to) = *self.spans.get(index)?;
        self.text.slice(from as usize..to as usize)
    }

    /// One of them, if it is a string.
    pub fn string(&self, index: usize) -> Option<String> {
        json::from_str(&self.raw(index)?).ok()
    }

    /// The JSON array of those from `index` on.
    pub fn array(&self, index: usize) -> Text {
        let Some((from, _)) = self.spans.get(index) else { return Text::from_static("[]") };
        if index == 0 {
            return self.text.clone();
        }
        // Up to the closing bracket, which is the last of the text but for white namespace.
        let rest = self.text.get(*from as usize..).unwrap_or_default();
        let mut array = String::with_capacity(rest.len() + 1);
        array.push('[');
        array.push_str(rest);
        array.into()
    }

    /// The event's name: the first argument, a string or (in JavaScript's way) a number.
    ///
    /// # Errors
    /// [`BadPacket`]: there is none, it is reserved, or too long.
    pub fn name(&self, longest: usize) -> Result<std::sync::Arc<str>, BadPacket> {
        let (from, to) = *self.spans.first().ok_or(BadPacket::Payload)?;
        let raw = self.text.get(from as usize..to as usize).unwrap_or_default();
        let first = raw.as_bytes().first().copied().unwrap_or_default();
        if raw.len() > longest.saturating_mul(6) + 2 {
            return Err(BadPacket::NameTooLong);
        }
        let name: std::sync::Arc<str> = match first {
            b'"' if !raw.contains('\\') => raw[1..raw.len() - 1].into(),
            b'"' => json::from_str::<String>(raw).map_err(|_| BadPacket::Payload)?.into(),
            b'-' | b'0'..=b'9' => raw.into(),
            _ => return Err(BadPacket::Payload),
        };
        if RESERVED.contains(&&*name) {
            return Err(BadPacket::Reserved);
        }
        if name.len() > longest {
            return Err(BadPacket::NameTooLong);
        }
        Ok(name)
    }
}

/// The elements of a JSON array, checked but not read; a few of them take no memory of their own.
struct Elements<'a>(SmallVec<[&'a RawValue; 4]>);

impl<'de> serde::Deserialize<'de> for Elements<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Elements<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("an array")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = SmallVec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

/// Whether arrays and objects are nested deeper than `most`, in what may be JSON.
pub fn is_deeper(text: &str, most: usize) -> bool {
    let bytes = text.as_bytes();
    if memchr::memchr2_iter(b'[', b'{', bytes).take(most + 1).count() <= most {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether every placeholder stands for one of so many attachments: receivers would choke on another.
fn holds(value: &serde_json::Value, attachments: usize) -> bool {
    use serde_json::Value;
    match value {
        Value::Array(items) => items.iter().all(|item| holds(item, attachments)),
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            fields.get("num").and_then(Value::as_u64).is_some_and(|number| number < attachments as u64)
        }
        Value::Object(fields) => fields.values().all(|item| holds(item, attachments)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Packet, BadPacket> {
        Packet::read(&text.into(), 10)
    }

    fn packet(
        kind: PacketKind,
        scope: &str,
        id: Option<u64>,
        attachments: usize,
        body: &str,
    ) -> Result<Packet, BadPacket> {
        Ok(Packet { kind, scope: scope.into(), id, attachments, body: body.into() })
    }

    fn args(text: &str, attachments: usize) -> Result<Args, BadPacket> {
        Args::read(text.into(), vec![Bytes::from_static(b"x"); attachments], &Config::default())
    }

    #[test]
    fn packets_of_every_kind() {
        assert_eq!(read("0"), packet(PacketKind::Connect, "/", None, 0, ""));
        assert_eq!(read("0{\"token\":1}"), packet(PacketKind::Connect, "/", None, 0, "{\"token\":1}"));
        assert_eq!(read("0/admin,"), packet(PacketKind::Connect, "/admin", None, 0, ""));
        assert_eq!(read("0/admin"), packet(PacketKind::Connect, "/admin", None, 0, ""));
        assert_eq!(read("1/admin,"), packet(PacketKind::Disconnect, "/admin", None, 0, ""));
        assert_eq!(read("2[\"a\"]"), packet(PacketKind::Event, "/", None, 0, "[\"a\"]"));
        assert_eq!(read("2/x,12[\"ä\",{}]"), packet(PacketKind::Event, "/x", Some(12), 0, "[\"ä\",{}]"));
        assert_eq!(read("313[]"), packet(PacketKind::Ack, "/", Some(13), 0, "[]"));
        assert_eq!(read("52-/x,7[\"a\"]"), packet(PacketKind::Event, "/x", Some(7), 2, "[\"a\"]"));
        assert_eq!(read("61-7[1]"), packet(PacketKind::Ack, "/", Some(7), 1, "[1]"));
    }

    #[test]
    fn white_space_and_great_numbers_are_read_as_javascript_does() {
        assert_eq!(read("2 [\"a\"] "), packet(PacketKind::Event, "/", Some(0), 0, "[\"a\"] "));
        assert_eq!(read("2/x,\n7\u{a0}[\"a\"]"), packet(PacketKind::Event, "/x", Some(7), 0, "[\"a\"]"));
        assert_eq!(read("2 1 2[\"a\"]"), packet(PacketKind::Event, "/", None, 0, "[\"a\"]"));
        assert_eq!(read("299999999999999999999[\"a\"]"), packet(PacketKind::Event, "/", None, 0, "[\"a\"]"));
        assert_eq!(read("0 {}"), packet(PacketKind::Connect, "/", Some(0), 0, "{}"));
        assert_eq!(read("1 "), packet(PacketKind::Disconnect, "/", Some(0), 0, ""));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for (text, why) in [
            ("", BadPacket::PacketKind),
            ("7", BadPacket::PacketKind),
            ("ä", BadPacket::PacketKind),
            ("5[\"a\"]", BadPacket::Attachments),
            ("50-[\"a\"]", BadPacket::Attachments),
            ("5x-[\"a\"]", BadPacket::Attachments),
            ("511-[\"a\"]", BadPacket::TooManyAttachments),
            ("599999999999999999999-[]", BadPacket::Attachments),
            ("0[]", BadPacket::Payload),
            ("1{}", BadPacket::Payload),
            ("2", BadPacket::Payload),
            ("2{\"a\":1}", BadPacket::Payload),
            ("2/x", BadPacket::Payload),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn arguments_are_told_apart_without_being_read() {
        let args = args(" [\"na\\u006de\" , {\"a\":[1, 2]} ,\"x\\\"y\", null ] ", 0);
        // White namespace before the array is not sound, and is caught before.
        let args = args.unwrap();
        assert_eq!(args.len(), 4);
        assert_eq!(&*args.name(64).unwrap(), "name");
        assert_eq!(args.raw(1).unwrap().as_str(), "{\"a\":[1, 2]}");
        assert_eq!(args.string(2).as_deref(), Some("x\"y"));
        assert_eq!(args.string(3), None);
        assert_eq!(args.array(2).as_str(), "[\"x\\\"y\", null ] ");
        assert_eq!(args.array(9).as_str(), "[]");
    }

    #[test]
    fn bad_arguments_are_refused() {
        for text in ["[", "[1,]", "[\"\u{1}\"]", "[nul]", "[1] 2", "{}", "[01]", "[\"\\x\"]"] {
            assert_eq!(args(text, 0), Err(BadPacket::Payload), "{text}");
        }
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(args(&deep(65), 0).is_ok());
        assert_eq!(args(&deep(66), 0), Err(BadPacket::Nesting));
        assert_eq!(args(&deep(1_000_000), 0), Err(BadPacket::Nesting));
        assert!(args(&format!("[\"{}\"]", "[".repeat(100)), 0).is_ok(), "brackets in a string are no nesting");
    }

    #[test]
    fn names_are_checked() {
        for (text, name) in [
            ("[\"a\"]", Ok("a")),
            ("[7]", Ok("7")),
            ("[\"\"]", Ok("")),
            ("[]", Err(BadPacket::Payload)),
            ("[null]", Err(BadPacket::Payload)),
            ("[\"connect\"]", Err(BadPacket::Reserved)),
            ("[\"disconn\\u0065ct\"]", Err(BadPacket::Reserved)),
            ("[\"newListener\",1]", Err(BadPacket::Reserved)),
            ("[\"abcdefghi\"]", Err(BadPacket::NameTooLong)),
        ] {
            assert_eq!(args(text, 0).unwrap().name(8).as_deref().map_err(|bad| *bad), name, "{text}");
        }
    }

    #[test]
    fn placeholders_stand_for_attachments_that_are_there() {
        let of = |number: &str| format!("[\"a\",[{{\"_placeholder\":true,\"num\":{number}}}]]");
        assert!(args(&of("0"), 1).is_ok());
        for number in ["1", "-1", "0.5", "\"0\"", "null"] {
            assert_eq!(args(&of(number), 1), Err(BadPacket::Attachments), "{number}");
        }
        assert!(args(&of("9"), 0).is_ok(), "only a packet with attachments has placeholders");
    }
}
