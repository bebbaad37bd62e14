//! How urgent an answer is (RFC 9218): as its client says, at first or later, else by what it is; the app may know better
//! than both.

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// Urgency where a client says nothing of it (RFC 9218 section 4.1).
const USUAL: u8 = 3;

/// How an answer stands among others of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// 0 to 7, the most urgent first.
    pub urgency: u8,
    /// It is of use in pieces: it shares with others that are as urgent, instead of coming before or after them.
    pub is_incremental: bool,
    /// It has no end, as a socket or an event stream: what comes over it is urgent, but there may be any amount of it.
    pub is_live: bool,
}

impl Priority {
    /// Of a socket: its messages are as urgent as a page, which somebody waits in front of too.
    pub const SOCKET: Priority = Priority { urgency: 1, is_incremental: true, is_live: true };
}

/// What was said of a priority; whatever is missing or senseless there is not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    urgency: Option<u8>,
    is_incremental: Option<bool>,
    is_there: bool,
}

impl Said {
    /// What the field `priority` says.
    pub fn in_headers(headers: &HeaderMap) -> Said {
        let mut said = Said::default();
        for line in headers.get_all(PRIORITY) {
            said.read(line.as_bytes());
        }
        said
    }

    /// What a value of this field says that came by itself (RFC 9218 section 7): it takes the place of all that was said.
    pub fn in_value(value: &[u8]) -> Said {
        let mut said = Said::default();
        said.read(value);
        said
    }

    fn read(&mut self, value: &[u8]) {
        self.is_there = true;
        for member in value.split(|byte| *byte == b',') {
            // A member may have parameters, which mean nothing here.
            match member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => self.urgency = Some(digit - b'0'),
                b"i" | b"i=?1" => self.is_incremental = Some(true),
                b"i=?0" => self.is_incremental = Some(false),
                _ => {}
            }
        }
    }
}

/// What an answer itself says of its priority: by the app's word, and by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerSays {
    app: Said,
    kind: Priority,
}

impl AnswerSays {
    pub fn in_headers(headers: &HeaderMap) -> AnswerSays {
        AnswerSays { app: Said::in_headers(headers), kind: by_kind(headers) }
    }

    /// The same whatever anybody says.
    pub fn fixed(priority: Priority) -> AnswerSays {
        let Priority { urgency, is_incremental, .. } = priority;
        let app = Said { urgency: Some(urgency), is_incremental: Some(is_incremental), is_there: true };
        AnswerSays { app, kind: priority }
    }

    /// What holds where its client says so much.
    pub fn priority(&self, client: Said) -> Priority {
        let (app, kind) = (self.app, self.kind);
        let default = if client.is_there { (USUAL, false) } else { (kind.urgency, kind.is_incremental) };
        Priority {
            urgency: app.urgency.or(client.urgency).unwrap_or(default.0),
            is_incremental: app.is_incremental.or(client.is_incremental).unwrap_or(default.1),
            is_live: kind.is_live,
        }
    }
}

/// What a page needs to be seen comes first, then what is seen in it, and last what nobody waits in front of.
fn by_kind(headers: &HeaderMap) -> Priority {
    let text = |name| headers.get(name).map(|value| value.as_bytes().trim_ascii_start()).unwrap_or_default();
    let is_download = text(CONTENT_DISPOSITION).get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"attachment"));
    let kind = text(CONTENT_TYPE).split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let is = |names: &[&str]| names.iter().any(|name| kind.eq_ignore_ascii_case(name.as_bytes()));
    let begins = |name: &str| kind.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
    let is_live = is(&["text/event-stream"]);
    let (urgency, is_incremental) = if is_download {
        (6, true)
    } else if is_live || is(&["text/html", "text/x-component"]) {
        (1, true)
    } else if is(&["text/css", "text/javascript", "application/javascript"]) {
        (2, false)
    } else if begins("font/") {
        (3, false)
    } else if begins("image/") {
        (5, true)
    } else if begins("video/")
        || begins("audio/")
        || is(&["application/octet-stream", "application/zip", "application/gzip", "application/pdf"])
    {
        (6, true)
    } else {
        (USUAL, true)
    };
    Priority { urgency, is_incremental, is_live }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn priority(client: &[(&'static str, &str)], app: &[(&'static str, &str)]) -> (u8, bool) {
        let priority = AnswerSays::in_headers(&headers(app)).priority(Said::in_headers(&headers(client)));
        (priority.urgency, priority.is_incremental)
    }

    #[test]
    fn the_client_says_it_and_the_app_knows_better() {
        assert_eq!(priority(&[("priority", "u=5, i")], &[]), (5, true));
        assert_eq!(priority(&[("priority", "i=?0;x=1 , u=0")], &[("content-type", "image/png")]), (0, false));
        assert_eq!(priority(&[("priority", "")], &[("content-type", "image/png")]), (3, false));
        assert_eq!(priority(&[("priority", "u=5, i")], &[("priority", "u=1")]), (1, true));
        for senseless in ["u=8", "u=-1", "u=\"1\"", "u", "i=1", "U=1", ",,,", "u=10"] {
            assert_eq!(priority(&[("priority", senseless)], &[]), (3, false), "{senseless}");
        }
    }

    #[test]
    fn what_is_said_later_replaces_all_of_it() {
        let answer = AnswerSays::in_headers(&headers(&[("content-type", "text/event-stream")]));
        let (urgent, usual) = (answer.priority(Said::in_value(b"i, u=0")), answer.priority(Said::in_value(b"\xff")));
        assert_eq!(urgent, Priority { urgency: 0, is_incremental: true, is_live: true });
        assert_eq!(usual, Priority { urgency: USUAL, is_incremental: false, is_live: true });
        assert_eq!(AnswerSays::fixed(Priority::SOCKET).priority(Said::in_value(b"u=7")), Priority::SOCKET);
    }

    #[test]
    fn else_it_goes_by_kind() {
        for (kind, urgency) in [
            ("text/html; charset=utf-8", 1),
            ("Text/CSS", 2),
            ("application/javascript", 2),
            ("application/json", 3),
            ("image/avif", 5),
            ("application/octet-stream", 6),
            ("Video/mp4", 6),
            ("text/event-stream", 1),
        ] {
            assert_eq!(priority(&[], &[("content-type", kind)]).0, urgency, "{kind}");
        }
        let file = [("content-type", "text/html"), ("content-disposition", "Attachment; filename=a")];
        assert_eq!(priority(&[], &file), (6, true));
    }
}
