//! Server-Sent Events (HTML, section 9.2) as text: what dialects push to a link that is a stream of events.

use std::fmt::{Display, Write};

/// What keeps a silent stream alive, and is no event.
pub const COMMENT: &str = ": ping\n\n";

/// One event. `id` is where a client that comes back goes on; `kind` is `message` where it is not said.
pub fn event(id: Option<&dyn Display>, kind: Option<&str>, data: &str) -> String {
    let mut block = String::with_capacity(data.len() + 64);
    if let Some(id) = id {
        let _ = writeln!(block, "id: {id}");
    }
    if let Some(kind) = kind {
        let _ = writeln!(block, "event: {kind}");
    }
    // A carriage return ends a line too, so each kind of line end becomes a line of its own.
    for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
        let _ = writeln!(block, "data: {line}");
    }
    block.push('\n');
    block
}

/// Where the client goes on when it comes back: moves its id, and shows it nothing.
pub fn id_alone(id: &dyn Display) -> String {
    format!("id: {id}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_data_is_a_field() {
        assert_eq!(
            event(Some(&7), Some("x"), "a\nb\r\nc\rd"),
            "id: 7\nevent: x\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!((event(None, None, ""), id_alone(&7)), ("data: \n\n".to_owned(), "id: 7\n\n".to_owned()));
    }
}
