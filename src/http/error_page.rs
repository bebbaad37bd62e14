//! How a failure looks: a small page, JSON, or a line of text, by `Accept` (RFC 9110 section 12.5.1).

use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::facts::RequestId;
use super::quality::quality;

/// The forms that a failure can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// What `accept` likes best. Text where it does not say, or likes all the same: then it is a tool.
    pub fn preferred(accept: Option<&HeaderValue>) -> Form {
        let Some(accept) = accept.and_then(|value| value.to_str().ok()) else { return Form::Text };
        let weigh = |form: Form| (form.weight(accept), form);
        let mut best = weigh(Form::Text);
        for other in [weigh(Form::Json), weigh(Form::Html)] {
            if other.0 > best.0 {
                best = other;
            }
        }
        best.1
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Form::Html => "text/html; charset=utf-8",
            Form::Json => "application/json",
            Form::Text => "text/plain; charset=utf-8",
        }
    }

    fn ranges(self) -> [&'static str; 3] {
        match self {
            Form::Html => ["text/html", "text/*", "*/*"],
            Form::Json => ["application/json", "application/*", "*/*"],
            Form::Text => ["text/plain", "text/*", "*/*"],
        }
    }

    /// In thousandths; the range that names the form most closely counts.
    fn weight(self, accept: &str) -> u16 {
        let mut found = (0, 0);
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default();
            let suffixed = self == Form::Json && range.len() > 5 && range.to_ascii_lowercase().ends_with("+json");
            let place = self.ranges().iter().position(|known| known.eq_ignore_ascii_case(range));
            let Some(place) = place.or(suffixed.then_some(0)) else { continue };
            let closeness = 3 - place;
            if closeness > found.0 {
                found = (closeness, quality(parts).unwrap_or(0));
            }
        }
        found.1
    }

    /// The whole text.
    pub fn render(self, status: StatusCode, reason: &str, request_id: Option<&RequestId>) -> String {
        let (code, title) = (status.as_u16(), status.canonical_reason().unwrap_or("Error"));
        let request_id = request_id.map(RequestId::as_str);
        match self {
            Form::Html => {
                let id = request_id.map(|id| format!("<p><small>{}</small></p>", escape(id))).unwrap_or_default();
                format!(
                    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
                     content=\"width=device-width\"><title>{code} {title}</title><body style=\"font:16px/1.5 \
                     system-ui;margin:15vh auto;max-width:32em;padding:0 1em\"><h1>{code} {title}</h1><p>{}</p>{id}\
                     </body></html>\n",
                    escape(reason)
                )
            }
            Form::Json => {
                let error = json!({ "status": code, "title": title, "message": reason, "request_id": request_id });
                format!("{}\n", json!({ "error": error }))
            }
            Form::Text => format!("{code} {title}: {reason}\n"),
        }
    }
}

/// The page with what makes a browser ask again after `wait` seconds.
pub fn reloading(page: &str, wait: &str) -> String {
    let refresh = format!("<meta http-equiv=\"refresh\" content=\"{wait}\"><title>");
    page.replacen("<title>", &refresh, 1).replacen("</body>", "<p>This page tries again by itself.</p></body>", 1)
}

/// `text` as HTML, between tags or in a quoted attribute.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(accept: &str) -> Form {
        Form::preferred(Some(&HeaderValue::from_str(accept).unwrap()))
    }

    #[test]
    fn the_client_chooses() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form::Html),
            ("application/json", Form::Json),
            ("application/problem+json", Form::Json),
            ("application/json, text/plain, */*", Form::Text),
            ("application/json;q=0.9, text/html;q=0.1", Form::Json),
            ("text/html;q=0.2, application/json;q=0.1", Form::Html),
            ("text/html;q=0, */*", Form::Text),
            ("*/*", Form::Text),
            ("image/png", Form::Text),
            ("text/x-component", Form::Text),
            ("", Form::Text),
        ] {
            assert_eq!(form(accept), expected, "{accept}");
        }
        assert_eq!(Form::preferred(None), Form::Text);
    }

    #[test]
    fn pages_are_escaped() {
        let page = Form::Html.render(StatusCode::BAD_REQUEST, "<script>&", None);
        assert!(page.contains("&lt;script&gt;&amp;") && !page.contains("<script"), "{page}");
    }

    proptest! {
        #[test]
        fn any_accept_is_read(accept in "[ -~]{0,60}") {
            form(&accept);
        }
    }
}
