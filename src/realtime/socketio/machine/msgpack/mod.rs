//! Packets as MessagePack (`socket.io-msgpack-parser`): `{type, nsp, data, id}`, bytes in their places.
//!
//! To the hub they are the same as packets of JSON: one is turned into the other on the way in and out, the latter once
//! for all clients.

mod read;
mod write;

pub use read::read;

#[cfg(test)]
use read::MsgpackPacket;

use bytes::Bytes;

use crate::realtime::msgpack::write::{map, text, unsigned};

/// A packet with data: `json` has placeholders for `attachments`.
pub fn packet(kind: u8, scope: &str, id: Option<u64>, json: &str, attachments: &[Bytes]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + scope.len() + 32);
    map(&mut out, 3 + usize::from(id.is_some()));
    head(&mut out, kind, scope);
    text(&mut out, "data");
    write::json(&mut out, json, attachments);
    if let Some(id) = id {
        text(&mut out, "id");
        unsigned(&mut out, id);
    }
    out.into()
}

/// A packet without data.
pub fn bare(kind: u8, scope: &str) -> Bytes {
    let mut out = Vec::with_capacity(scope.len() + 16);
    map(&mut out, 2);
    head(&mut out, kind, scope);
    out.into()
}

fn head(out: &mut Vec<u8>, kind: u8, scope: &str) {
    text(out, "type");
    unsigned(out, kind.into());
    text(out, "nsp");
    text(out, scope);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(json: &str, attachments: &[Bytes]) -> MsgpackPacket {
        read(&packet(2, "/x", Some(300), json, attachments), 64, 10).unwrap()
    }

    #[test]
    fn json_survives_the_journey() {
        for json in [
            r#"["a"]"#,
            r#"["a",null,true,false,0,-1,127,128,255,256,65535,65536,4294967296,-32,-33,-129,-32769,-2147483649]"#,
            r#"["a",1.5,-0.25,"ä\"\\\n"]"#,
            r#"["a",{"z":1,"a":{"b":[]}},[[],[[]]]]"#,
            r#"["a",[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]]"#,
            r#"["a",{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"n":14,"o":15,"p":16,"q":17}]"#,
        ] {
            let decoded = there_and_back(json, &[]);
            assert_eq!((decoded.kind, decoded.scope.as_str(), decoded.id), (2, "/x", Some(300)));
            assert_eq!(decoded.data.as_deref(), Some(json));
        }
        let long = format!("[\"a\",\"{}\"]", "x".repeat(70_000));
        assert_eq!(there_and_back(&long, &[]).data.as_deref(), Some(long.as_str()));
    }

    #[test]
    fn bytes_are_in_their_places() {
        let attachments = [Bytes::from_static(b"xyz"), Bytes::from(vec![7; 300])];
        let json = r#"["a",{"b":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}]"#;
        let decoded = there_and_back(json, &attachments);
        let turned = r#"["a",{"b":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]"#;
        assert_eq!(decoded.data.as_deref(), Some(turned), "numbered by where they stand");
        assert_eq!(decoded.attachments, [attachments[1].clone(), attachments[0].clone()]);
    }

    #[test]
    fn a_bare_packet() {
        let decoded = read(&bare(1, "/"), 64, 10).unwrap();
        assert_eq!((decoded.kind, decoded.scope.as_str(), decoded.data, decoded.id), (1, "/", None, None));
    }
}
