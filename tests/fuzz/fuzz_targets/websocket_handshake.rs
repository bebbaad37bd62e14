//! Any headers at all: an answer or a refusal that can be sent, never a panic.

#![no_main]

use doorway::realtime::link::websocket::{Config, Offer, is_upgrade};
use http::header::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = [
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "content-length",
    "transfer-encoding",
];

fuzz_target!(|headers: Vec<(u8, Vec<u8>)>| {
    let mut request = http::Request::get("/api/ws").body(()).unwrap();
    for (name, value) in NAMES[..4].iter().zip(["websocket", "upgrade", "dGhlIHNhbXBsZSBub25jZQ==", "13"]) {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    for (name, value) in headers {
        let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
        let known = HeaderName::from_static(NAMES[usize::from(name) % NAMES.len()]);
        // A high bit adds one more, a low one takes the right one's place.
        if name & 0x80 == 0 {
            request.headers_mut().insert(known, value);
        } else {
            request.headers_mut().append(known, value);
        }
    }
    let _ = is_upgrade(&request);
    match Offer::read(&request, &Config { deflate: true, ..Config::default() }) {
        Ok(offer) => {
            let answer = offer.accept(offer.protocols().next());
            assert_eq!(answer.status(), 101);
            assert_eq!(answer.headers()["sec-websocket-accept"].len(), 28);
        }
        Err(failure) => assert!(failure.status.is_client_error()),
    }
});
