//! How urgent an answer is (RFC 9218): as its client says, else by what it is; the app may know better than both.

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
            said.is_there = true;
            for member in line.as_bytes().split(|byte| *byte == b',') {
                // A member may have parameters, which mean nothing here.
                match member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii() {
                    [b'u', b'=', digit @ b'0'..=b'7'] => said.urgency = Some(digit - b'0'),
                    b"i" | b"i=?1" => said.is_incremental = Some(true),
                    b"i=?0" => said.is_incremental = Some(false),
                    _ => {}
                }
            }
        }
        said
    }

    /// What holds for the answer with these headers.
    pub fn for_answer(self, headers: &HeaderMap) -> Priority {
        let app = Said::in_headers(headers);
        let default = if self.is_there { Priority { urgency: USUAL, is_incremental: false } } else { by_kind(headers) };
        Priority {
            urgency: app.urgency.or(self.urgency).unwrap_or(default.urgency),
            is_incremental: app.is_incremental.or(self.is_incremental).unwrap_or(default.is_incremental),
        }
    }
}

/// What a page needs to be seen comes first, then what is seen in it, and last what nobody waits in front of.
fn by_kind(headers: &HeaderMap) -> Priority {
    let text = |name| headers.get(name).map(|value| value.as_bytes().trim_ascii_start()).unwrap_or_default();
    let is_download = text(CONTENT_DISPOSITION).get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"attachment"));
    let kind = text(CONTENT_TYPE).split(|byte| *byte == b';').next().unwrap_or_default().to_ascii_lowercase();
    let (urgency, is_incremental) = match kind.trim_ascii_end() {
        _ if is_download => (6, true),
        b"text/html" | b"text/x-component" | b"text/event-stream" => (1, true),
        b"text/css" => (2, false),
        b"text/javascript" | b"application/javascript" => (2, false),
        kind if kind.starts_with(b"font/") => (3, false),
        kind if kind.starts_with(b"image/") => (5, true),
        kind if kind.starts_with(b"video/") || kind.starts_with(b"audio/") => (6, true),
        b"application/octet-stream" | b"application/zip" | b"application/gzip" | b"application/pdf" => (6, true),
        _ => (USUAL, true),
    };
    Priority { urgency, is_incremental }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn priority(client: &[(&'static str, &str)], app: &[(&'static str, &str)]) -> (u8, bool) {
        let priority = Said::in_headers(&headers(client)).for_answer(&headers(app));
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
    fn else_it_goes_by_kind() {
        for (kind, urgency) in [
            ("text/html; charset=utf-8", 1),
            ("Text/CSS", 2),
            ("application/javascript", 2),
            ("application/json", 3),
            ("image/avif", 5),
            ("application/octet-stream", 6),
        ] {
            assert_eq!(priority(&[], &[("content-type", kind)]).0, urgency, "{kind}");
        }
        let file = [("content-type", "text/html"), ("content-disposition", "Attachment; filename=a")];
        assert_eq!(priority(&[], &file), (6, true));
    }
}
