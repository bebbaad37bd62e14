//! Any bytes as MessagePack from a client of Ably: refused, or read as something that is written and read again the same,
//! in both formats; never a panic, never more items than a frame may have, never deeper than JSON may be. A line is
//! hexadecimal digits.

use doorway::realtime::ably::token::TokenRequest;
use doorway::realtime::ably::wire::Format;
use doorway::realtime::ably::wire::data::Data;
use doorway::realtime::ably::wire::list::MAX_ITEMS;
use doorway::realtime::ably::wire::message::AblyMessage;
use doorway::realtime::ably::wire::presence::AblyPresence;
use doorway::realtime::ably::wire::protocol::SaidFrame;
use doorway::realtime::vocabulary::{Channel, Epoch, Message, Position};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;

fn from_hex(line: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = line.iter().filter_map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Written in `format` and read again, it is what it was.
fn is_the_same<T: Serialize + DeserializeOwned + PartialEq + Debug>(what: &T, format: Format) {
    let read: T = format.read(&format.bytes(what)).expect("what is written is read");
    assert_eq!(read, *what, "{format:?}");
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        _ => false,
    }
}

fn message(mut message: AblyMessage) {
    // What is neither text nor bytes is known for that, and refused; a key is never shown.
    message.connection_key = None;
    if message.data == Some(Data::Other) {
        let code = message.draft(String::new, None).expect_err("refused").code;
        assert!(matches!(code, 40000 | 40003 | 40013), "{code}");
        return;
    }
    is_the_same(&message, Format::Msgpack);
    // Text of a number may be read as its neighbour, and bytes are no JSON.
    let is_exact = !message.extras.as_ref().is_some_and(has_fraction);
    if is_exact && !matches!(message.data, Some(Data::Bytes(_))) {
        is_the_same(&message, Format::Json);
    }
    let Ok(draft) = message.draft(|| "conn:0:0".to_owned(), Some("conn")) else { return };
    let position = Position { epoch: Epoch(1), offset: 1 };
    let said = Message::new(Channel::new("a").expect("a name"), position, 1, None, draft);
    for format in [Format::Json, Format::Msgpack] {
        let shown = AblyMessage::shown(&said, format);
        assert_eq!(shown.connection_id.as_deref(), Some("conn"), "it is known as one of this protocol");
        if is_exact {
            is_the_same(&shown, format);
        }
    }
}

pub fn holds(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n').take(50) {
        let bytes = from_hex(line);
        if let Ok(said) = Format::Msgpack.read_object::<SaidFrame>(&bytes) {
            let (messages, presence) = (said.messages.unwrap_or_default().0, said.presence.unwrap_or_default().0);
            let annotations = said.annotations.unwrap_or_default().0;
            assert!(messages.len() <= MAX_ITEMS && presence.len() <= MAX_ITEMS && annotations.len() <= MAX_ITEMS);
            for annotation in annotations {
                let _ = annotation.draft(|| "conn:0:0".to_owned(), Some("conn"));
            }
            messages.into_iter().for_each(message);
            for item in presence.into_iter().filter(|item| item.data != Some(Data::Other)) {
                is_the_same(&item, Format::Msgpack);
                let _ = item.member("ann", "conn", || "conn:0:0".to_owned());
            }
        }
        if let Ok(one) = Format::Msgpack.read::<AblyMessage>(&bytes) {
            message(one);
        }
        if let Ok(one) = Format::Msgpack.read::<AblyPresence>(&bytes)
            && one.data != Some(Data::Other)
        {
            is_the_same(&one, Format::Msgpack);
        }
        if let Ok(value) = Format::Msgpack.read::<Value>(&bytes) {
            // Whoever reads JSON can read it too.
            let text = Format::Json.bytes(&value);
            let _: Value = Format::Json.read(&text).expect("no deeper than JSON may be");
        }
        let _ = Format::Msgpack.read::<TokenRequest>(&bytes);
    }
}
