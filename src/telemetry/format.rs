//! How an event becomes a line: for people, or JSON. No event can forge a line or speak to the terminal.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The target of the lines that tell of requests, and those of its fields that people know without their names.
const ACCESS: &str = "access";
const OBVIOUS: [&str; 3] = ["method", "path", "status"];

/// The target of what the app itself writes.
const APP: &str = "app";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Json,
    Human { colours: bool },
}

/// Appends `event` to `line`, with its end; with `is_brief` a request that went well in a few words for people.
pub fn render(look: Look, is_brief: bool, event: &Event<'_>, line: &mut Vec<u8>) {
    let (level, target) = (event.metadata().level(), event.metadata().target());
    match look {
        Look::Json => {
            json_head(*level, target, line);
            event.record(&mut Json(line));
            line.extend_from_slice(b"}\n");
        }
        Look::Human { colours } => {
            if is_brief && target == ACCESS && short_access(event, colours, line) {
                return;
            }
            human_head(*level, colours, line);
            if target == APP {
                // What the app itself writes, and not we.
                line.extend_from_slice(b" app |");
            }
            event.record(&mut Message { line, colours: colours && target == APP });
            event.record(&mut Human { line, colours, is_access: target == ACCESS });
            line.push(b'\n');
        }
    }
}

/// What a person looks for in the line of a request.
#[derive(Default)]
struct Brief {
    method: String,
    path: String,
    status: u64,
    bytes: u64,
    milliseconds: f64,
    is_whole: bool,
}

impl Visit for Brief {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "method" => self.method = value.to_owned(),
            "path" => self.path = value.to_owned(),
            "ending" => self.is_whole = value == "whole",
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "status" => self.status = value,
            "bytes_out" => self.bytes = value,
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "total_ms" {
            self.milliseconds = value;
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

/// Writes the line of a request that went well as `12:01:07 GET /ws 200 7 ms 9.4 kB`. False for all others, whose every
/// field may be the one that says why.
fn short_access(event: &Event<'_>, colours: bool, line: &mut Vec<u8>) -> bool {
    let mut brief = Brief::default();
    event.record(&mut brief);
    let Brief { method, path, status, bytes, milliseconds, is_whole } = brief;
    if method.is_empty() || !is_whole || !(100..400).contains(&status) {
        return false;
    }
    let mut time = Vec::new();
    timestamp(&mut time);
    paint(line, colours, "2", |line| line.extend_from_slice(time.get(11..19).unwrap_or_default()));
    let _ = write!(Escaped { line, json: false }, " {method} {path} ");
    paint(line, colours, "32", |line| line.extend_from_slice(status.to_string().as_bytes()));
    let took = match milliseconds {
        short if short < 1.0 => format!("{short:.1} ms"),
        long if long >= 1000.0 => format!("{:.1} s", long / 1000.0),
        usual => format!("{usual:.0} ms"),
    };
    let length = match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    };
    paint(line, colours, "2", |line| line.extend_from_slice(format!(" {took} {length}\n").as_bytes()));
    true
}

/// The line that says how many others are missing.
pub fn lines_lost(look: Look, lost: u64) -> Vec<u8> {
    let mut line = Vec::new();
    match look {
        Look::Json => {
            json_head(Level::WARN, "log", &mut line);
            line.extend_from_slice(format!(",\"message\":\"log lines lost\",\"lines\":{lost}}}\n").as_bytes());
        }
        Look::Human { colours } => {
            human_head(Level::WARN, colours, &mut line);
            line.extend_from_slice(format!(" log lines lost lines={lost}\n").as_bytes());
        }
    }
    line
}

fn json_head(level: Level, target: &str, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    timestamp(line);
    line.extend_from_slice(b"\",\"level\":\"");
    line.extend_from_slice(level.as_str().as_bytes());
    line.extend_from_slice(b"\",\"target\":\"");
    line.extend_from_slice(target.as_bytes());
    line.push(b'"');
}

fn human_head(level: Level, colours: bool, line: &mut Vec<u8>) {
    let colour = match level {
        Level::ERROR => "31",
        Level::WARN => "33",
        Level::INFO => "32",
        Level::DEBUG => "34",
        Level::TRACE => "35",
    };
    paint(line, colours, "2", timestamp);
    line.push(b' ');
    paint(line, colours, colour, |line| line.extend_from_slice(format!("{:>5}", level.as_str()).as_bytes()));
}

fn paint(line: &mut Vec<u8>, colours: bool, colour: &str, text: impl FnOnce(&mut Vec<u8>)) {
    if !colours {
        return text(line);
    }
    line.extend_from_slice(format!("\x1b[{colour}m").as_bytes());
    text(line);
    line.extend_from_slice(b"\x1b[0m");
}

/// RFC 3339, UTC, milliseconds. The calendar part is computed once a second and thread.
fn timestamp(line: &mut Vec<u8>) {
    thread_local!(static SECOND: std::cell::RefCell<(u64, String)> = const { std::cell::RefCell::new((0, String::new())) });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_secs() || text.is_empty() {
            *second = now.as_secs();
            *text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(*second)).to_string();
            text.truncate(text.trim_end_matches('Z').len());
        }
        line.extend_from_slice(text.as_bytes());
    });
    let millis = now.subsec_millis();
    let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap_or(0);
    line.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
}

/// Writes text without its control characters, quotes and backslashes.
struct Escaped<'a> {
    line: &'a mut Vec<u8>,
    json: bool,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // 0xC2 begins the control characters U+0080 to U+009F, which terminals obey too.
        let json = self.json;
        let risky =
            |byte: u8| (byte < b' ') | (byte == 0x7F) | (byte == 0xC2) | (json & ((byte == b'"') | (byte == b'\\')));
        // All of them, without a way out at the first: so the compiler looks at many at a time.
        if !text.bytes().fold(false, |found, byte| found | risky(byte)) {
            self.line.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            let quoted = self.json && matches!(character, '"' | '\\');
            if !quoted && !character.is_control() {
                continue;
            }
            self.line.extend_from_slice(&text.as_bytes()[plain..at]);
            plain = at + character.len_utf8();
            match character {
                '"' | '\\' => self.line.extend_from_slice(&[b'\\', text.as_bytes()[at]]),
                '\n' => self.line.extend_from_slice(b"\\n"),
                _ => self.line.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes()),
            }
        }
        self.line.extend_from_slice(&text.as_bytes()[plain..]);
        Ok(())
    }
}

/// Fields as members of an object.
struct Json<'a>(&'a mut Vec<u8>);

impl Json<'_> {
    fn name(&mut self, field: &Field) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(field.name().as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn bare(&mut self, field: &Field, value: impl Serialize) {
        self.name(field);
        let _ = serde_json::to_writer(&mut *self.0, &value);
    }

    fn quoted(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.name(field);
        self.0.push(b'"');
        let _ = Escaped { line: self.0, json: true }.write_fmt(value);
        self.0.push(b'"');
    }
}

impl Visit for Json<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push(b'"');
        let _ = Escaped { line: self.0, json: true }.write_str(value);
        self.0.push(b'"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field, value);
        } else {
            self.quoted(field, format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.quoted(field, format_args!("{value:?}"));
    }
}

/// The message alone: it stands before the fields.
struct Message<'a> {
    line: &'a mut Vec<u8>,
    /// Its own colours are kept.
    colours: bool,
}

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.line.push(b' ');
            if self.colours {
                coloured(self.line, &format!("{value:?}"));
            } else {
                let _ = write!(Escaped { line: self.line, json: false }, "{value:?}");
            }
        }
    }
}

/// Writes `text` with its colours (ECMA-48, SGR), and without all else that it says to the terminal.
fn coloured(line: &mut Vec<u8>, text: &str) {
    let (mut rest, mut has_colours) = (text, false);
    while let Some((before, behind)) = rest.split_once("\x1b[") {
        let _ = Escaped { line, json: false }.write_str(before);
        // Parameters, then one letter that says what they are for.
        let end = behind.find(|letter: char| ('@'..='~').contains(&letter)).unwrap_or(behind.len());
        let is_colour = behind[end..].starts_with('m')
            && behind[..end].bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'));
        if is_colour {
            line.extend_from_slice(format!("\x1b[{}m", &behind[..end]).as_bytes());
            has_colours = true;
        }
        rest = behind.get(end + 1..).unwrap_or_default();
    }
    let _ = Escaped { line, json: false }.write_str(rest);
    if has_colours {
        line.extend_from_slice(b"\x1b[0m");
    }
}

/// The fields, as `name=value`.
struct Human<'a> {
    line: &'a mut Vec<u8>,
    colours: bool,
    is_access: bool,
}

impl Visit for Human<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            return;
        }
        self.line.push(b' ');
        if !(self.is_access && OBVIOUS.contains(&field.name())) {
            paint(self.line, self.colours, "2", |line| {
                line.extend_from_slice(field.name().as_bytes());
                line.push(b'=');
            });
        }
        let _ = write!(Escaped { line: self.line, json: false }, "{value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // Quotes only where the value could be read as something else.
        let plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        if plain { self.record_debug(field, &format_args!("{value}")) } else { self.record_debug(field, &value) }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::Value;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Metadata, Subscriber, warn};

    use super::*;

    struct Capture(Look, Arc<Mutex<Vec<u8>>>);

    impl Subscriber for Capture {
        fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &Event<'_>) {
            render(self.0, true, event, &mut self.1.lock());
        }
        fn new_span(&self, _span: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _span: &Id, _values: &Record<'_>) {}
        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
        fn enter(&self, _span: &Id) {}
        fn exit(&self, _span: &Id) {}
    }

    fn captured(look: Look, log: impl FnOnce()) -> String {
        let line = Arc::default();
        tracing::subscriber::with_default(Capture(look, Arc::clone(&line)), log);
        String::from_utf8(line.lock().clone()).unwrap()
    }

    fn parsed(line: &str) -> Value {
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line:?}");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn kinds_keep_their_kind_in_json() {
        let line = captured(Look::Json, || {
            warn!(whole = 7u64, signed = -7i64, yes = true, half = 0.5, text = "a", shown = ?Some(1), "said {}", 1);
        });
        let line = parsed(&line);
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "said 1");
        assert_eq!((&line["whole"], &line["signed"]), (&7.into(), &(-7).into()));
        assert_eq!((&line["yes"], &line["half"]), (&true.into(), &0.5.into()));
        assert_eq!((&line["text"], &line["shown"]), (&"a".into(), &"Some(1)".into()));
    }

    #[test]
    fn numbers_that_json_lacks_are_text() {
        let line = captured(Look::Json, || warn!(a = f64::NAN, b = f64::INFINITY));
        assert_eq!((&parsed(&line)["a"], &parsed(&line)["b"]), (&"NaN".into(), &"inf".into()));
    }

    #[test]
    fn a_value_cannot_speak_to_the_terminal_or_forge_a_line() {
        let look = Look::Human { colours: false };
        let line = captured(look, || warn!(path = "/\x1b[31m\u{9b}2J\n2026 INFO fake", "x\r\ny"));
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line:?}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
    }

    #[test]
    fn app_has_its_colours_and_no_other_word_to_the_terminal() {
        let said = |colours| {
            let said = "\x1b[31m\x1b[1mType error\x1b[22m\x1b[39m: \x1b[2Jx\x1b]0;title\x07\x1b[999999";
            captured(Look::Human { colours }, || tracing::info!(target: "app", "{said}"))
        };
        let line = said(true);
        assert!(line.contains("\x1b[31m\x1b[1mType error\x1b[22m\x1b[39m: x\\u001b]0;title\\u0007"), "{line:?}");
        assert!(line.ends_with("\x1b[0m\n") && !line.contains("999999"), "{line:?}");
        assert!(!said(false).trim_end().contains(char::is_control));
    }

    #[test]
    fn values_for_people_are_quoted_only_where_they_must_be() {
        let line = captured(Look::Human { colours: false }, || warn!(a = "b", c = "d e", f = "", g = 1, "why"));
        assert!(line.ends_with(" WARN why a=b c=\"d e\" f=\"\" g=1\n"), "{line:?}");
    }

    #[test]
    fn a_request_reads_like_one() {
        let line = captured(Look::Human { colours: false }, || {
            tracing::info!(target: "access", method = "GET", path = "/a", status = Some(404u16), bytes_out = 5u64, total_ms = 1.5, ending = "whole");
        });
        assert!(line.ends_with(" INFO GET /a 404 bytes_out=5 total_ms=1.5 ending=whole\n"), "{line:?}");
        let short = |status: u16, bytes: u64, total_ms: f64, ending: &str| {
            captured(Look::Human { colours: false }, || {
                tracing::info!(target: "access", method = "GET", path = "/ws\n", status = Some(status), bytes_out = bytes, total_ms, ending, client = "::1");
            })
        };
        let line = short(200, 9_400, 7.2, "whole");
        assert!(line.ends_with(" GET /ws\\n 200 7 ms 9.4 kB\n") && line.find(' ') == Some(8), "{line:?}");
        assert!(short(304, 0, 0.25, "whole").ends_with(" 304 0.2 ms 0 B\n"));
        assert!(short(200, 5_000_000, 1500.0, "whole").ends_with(" 200 1.5 s 5.0 MB\n"));
        assert!(short(200, 5, 1.0, "abandoned").contains("client=::1"), "what went wrong is told whole");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_json(text in any::<String>()) {
            let line = captured(Look::Json, || warn!(text, shown = %text, "{text}"));
            let line = parsed(&line);
            prop_assert_eq!(&line["text"], text.as_str());
            prop_assert_eq!(&line["shown"], text.as_str());
            prop_assert_eq!(&line["message"], text.as_str());
        }
    }
}
