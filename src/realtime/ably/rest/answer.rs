//! Answers: in the format that is asked for, and in an envelope for those who cannot read headers.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LINK, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::http::query::parameter;
use crate::http::{Body, Response};
use crate::realtime::ably::wire::Format;
use crate::realtime::ably::wire::error::{AblyError, ErrorInfo};

const MSGPACK: &str = "application/x-msgpack";
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ably-errorcode");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-ably-errormessage");

/// How a caller wants its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerStyle {
    pub format: Format,
    /// Status and headers in the body.
    in_envelope: bool,
}

/// What a caller is answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    body: Bytes,
    links: Option<String>,
    error: Option<AblyError>,
}

/// An error's body.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorInfo<'a>,
}

impl AnswerStyle {
    pub fn of(head: &Parts) -> AnswerStyle {
        let query = head.uri.query();
        let envelope = parameter(query, "envelope").filter(|envelope| matches!(&**envelope, "json" | "msgpack"));
        let format = match envelope.clone().or_else(|| parameter(query, "format")) {
            Some(name) => Format::named(Some(&name)),
            None => named_in(&head.headers, &ACCEPT),
        };
        AnswerStyle { format, in_envelope: envelope.is_some() }
    }

    /// The format of what is sent.
    pub fn sends(headers: &HeaderMap) -> Format {
        named_in(headers, &CONTENT_TYPE)
    }

    pub fn respond(self, answer: Answer) -> Response {
        let mut headers = HeaderMap::new();
        // Exactly so: clients look for nothing else.
        let kind = if self.format == Format::Msgpack { MSGPACK } else { "application/json" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(links) = answer.links.as_deref().and_then(|links| HeaderValue::from_str(links).ok()) {
            headers.insert(LINK, links);
        }
        if let Some(error) = &answer.error {
            headers.insert(ERROR_CODE, HeaderValue::from(error.code));
            let message: String = error.message.chars().filter(|c| matches!(c, ' '..='~')).collect();
            if let Ok(message) = HeaderValue::from_str(&message) {
                headers.insert(ERROR_MESSAGE, message);
            }
        }
        let (status, body) = if self.in_envelope {
            (200, enveloped(self.format, answer.status, &headers, &answer.body))
        } else {
            (answer.status, answer.body)
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        *response.headers_mut() = headers;
        response
    }
}

fn named_in(headers: &HeaderMap, name: &HeaderName) -> Format {
    let is_msgpack = headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let first = value.split(',').find(|kind| kind.contains("msgpack") || kind.contains("json"));
        first.is_some_and(|kind| kind.contains("msgpack"))
    });
    if is_msgpack { Format::Msgpack } else { Format::Json }
}

impl Answer {
    pub fn new(status: u16, body: Bytes) -> Answer {
        Answer { status, body, links: None, error: None }
    }

    pub fn with_links(self, links: String) -> Answer {
        Answer { links: Some(links), ..self }
    }

    pub fn error(error: &AblyError, format: Format) -> Answer {
        let body = format.bytes(&ErrorBody { error: error.into() });
        Answer { status: error.status, body, links: None, error: Some(error.clone()) }
    }
}

/// The whole answer as one body.
fn enveloped(format: Format, status: u16, headers: &HeaderMap, body: &Bytes) -> Bytes {
    let names: serde_json::Map<String, serde_json::Value> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.into())))
        .collect();
    match format {
        Format::Json => {
            let headers = serde_json::Value::Object(names);
            let body = std::str::from_utf8(body).unwrap_or("null");
            Bytes::from(format!(r#"{{"statusCode":{status},"headers":{headers},"response":{body}}}"#))
        }
        Format::Msgpack => {
            // A map of three (fixmap), whose last value is there already.
            let mut whole = vec![0x83];
            for part in
                [format.bytes(&"statusCode"), format.bytes(&status), format.bytes(&"headers"), format.bytes(&names)]
            {
                whole.extend_from_slice(&part);
            }
            whole.extend_from_slice(&format.bytes(&"response"));
            whole.extend_from_slice(body);
            Bytes::from(whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn style(uri: &str, accept: Option<&str>) -> AnswerStyle {
        let mut request = http::Request::builder().uri(uri);
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        AnswerStyle::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_format_is_the_one_asked_for() {
        for (uri, accept, format) in [
            ("/time", None, Format::Json),
            ("/time", Some("*/*"), Format::Json),
            ("/time", Some("application/json"), Format::Json),
            ("/time", Some("application/x-msgpack"), Format::Msgpack),
            ("/time", Some("application/x-msgpack,application/json"), Format::Msgpack),
            ("/time?format=msgpack", Some("application/json"), Format::Msgpack),
            ("/time?envelope=json", Some("application/x-msgpack"), Format::Json),
        ] {
            assert_eq!(style(uri, accept).format, format, "{uri} {accept:?}");
        }
    }

    #[test]
    fn an_envelope_holds_status_and_headers() {
        for format in [Format::Json, Format::Msgpack] {
            let style = AnswerStyle { format, in_envelope: true };
            let answer =
                Answer::new(201, format.bytes(&json!([{ "a": 1 }]))).with_links("<./x?>; rel=\"first\"".into());
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_static("l"));
            let whole = enveloped(format, answer.status, &headers, &answer.body);
            let read: Value = format.read(&whole).unwrap();
            assert_eq!(read, json!({ "statusCode": 201, "headers": { "link": "l" }, "response": [{ "a": 1 }] }));
            assert_eq!(style.respond(answer).status(), 200);
        }
    }

    #[test]
    fn an_error_says_its_code_in_the_headers_too() {
        let error = AblyError::new(40400, 404, "No “such” thing\n");
        let style = AnswerStyle { format: Format::Json, in_envelope: false };
        let response = style.respond(Answer::error(&error, Format::Json));
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!((response.status().as_u16(), header("x-ably-errorcode")), (404, "40400"));
        assert_eq!((header("x-ably-errormessage"), header("content-type")), ("No such thing", "application/json"));
        let body: Value = Format::Json.read(&Answer::error(&error, Format::Json).body).unwrap();
        assert_eq!((&body["error"]["code"], &body["error"]["statusCode"]), (&json!(40400), &json!(404)));
    }
}
