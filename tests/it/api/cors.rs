//! Promise: a page of an allowed other origin may ask the one-way doors with a token in a header, and read the answer,
//! also that it is refused; pages of any other may not.

use crate::harness::client::{ask, get};
use crate::harness::{Door, door};

const FRIEND: &str = "https://app.test";

fn start() -> Door {
    let tokens = "[realtime.tokens]\nsecret = \"0123456789abcdef0123456789abcdef\"\nrequired = true\n";
    door().config(format!("[realtime]\norigins = [\"{FRIEND}\"]\n{tokens}")).start()
}

async fn preflight(door: &Door, origin: &str) -> crate::harness::client::Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    ask(door.http(), "OPTIONS", "/api/ws/room", &headers, "").await
}

#[tokio::test]
async fn a_page_may_ask_beforehand() {
    let door = start();
    let answer = preflight(&door, FRIEND).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), FRIEND);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD");
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    assert!(answer.header("vary").contains("origin"));
    let answer = preflight(&door, "https://evil.test").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (403, ""));
    let plain = ask(door.http(), "OPTIONS", "/api/ws/room", &[("origin", FRIEND)], "").await;
    assert_eq!(plain.status, 405, "not a preflight");
}

#[tokio::test]
async fn a_page_may_read_that_it_is_refused() {
    let door = start();
    for accept in ["application/json", "text/event-stream"] {
        let answer = get(door.http(), "/api/ws/room", &[("origin", FRIEND), ("accept", accept)]).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (401, FRIEND));
        let answer = get(door.http(), "/api/ws/room", &[("origin", "https://evil.test"), ("accept", accept)]).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin").as_str()), (403, ""));
    }
}
