//! Promise: pages of other sites may poll where the config lets them, and no others (the Fetch standard's CORS).

use super::polling::{OPEN, open, text};
use crate::harness::client::{ask, get};
use crate::harness::door;
use crate::harness::socket::{connect_to, refused};

const FRIEND: &str = "https://app.friend.test";
const TARGET: &str = "/socket.io/?EIO=4&transport=polling";

#[tokio::test]
async fn an_allowed_page_may_read_every_answer_with_its_cookies() {
    let door = door().config("[realtime]\norigins = [\"https://*.friend.test\"]\n").start();
    let session = open(&door).await;
    let own = session.target();
    for (target, status) in [(TARGET, 200), ("/socket.io/", 400), (own.as_str(), 200)] {
        if target == own {
            session.say("40").await;
        }
        let answer = get(door.http(), target, &[("origin", FRIEND)]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), FRIEND);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("vary").to_lowercase().contains("origin"));
    }
    let posted = ask(door.http(), "POST", &own, &[("origin", FRIEND)], "6").await;
    assert_eq!((posted.status, posted.header("access-control-allow-origin")), (200, FRIEND.to_owned()));
    assert!(connect_to(door.http(), "/socket.io/?EIO=4&transport=websocket", &[("origin", FRIEND)]).await.is_ok());
}

#[tokio::test]
async fn a_browser_that_asks_beforehand_is_answered() {
    let door = door().config("[realtime]\norigins = [\"https://*.friend.test\"]\n").start();
    let wishes = [("access-control-request-method", "POST"), ("access-control-request-headers", "x-one, x-two")];
    let answer = ask(door.http(), "OPTIONS", TARGET, &[("origin", FRIEND), wishes[0], wishes[1]], "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), FRIEND);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, POST");
    assert_eq!(answer.header("access-control-allow-headers"), "x-one, x-two");
    let evil = ask(door.http(), "OPTIONS", TARGET, &[("origin", "https://evil.test"), wishes[0]], "").await;
    assert_eq!((evil.status, evil.header("access-control-allow-origin")), (403, String::new()));
}

#[tokio::test]
async fn a_page_of_another_site_is_forbidden() {
    let door = door().start();
    let session = open(&door).await;
    for origin in ["https://evil.test", "null", FRIEND] {
        for (method, target) in [("GET", TARGET), ("GET", &session.target()), ("POST", &session.target())] {
            let answer = ask(door.http(), method, target, &[("origin", origin)], "").await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, String::new()));
            assert!(answer.header("vary").to_lowercase().contains("origin"));
            assert_eq!(text(answer).await, r#"{"code":4,"message":"Forbidden"}"#);
        }
        let target = "/socket.io/?EIO=4&transport=websocket";
        assert_eq!(refused(&door, target, &[("origin", origin)]).await, 403);
    }
    session.connect().await;
    let own = format!("http://{}", door.http());
    let host = door.http().to_string();
    let answer = get(door.http(), TARGET, &[("origin", &own), ("host", &host)]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, String::new()));
}

#[tokio::test]
async fn an_endpoint_may_have_origins_of_its_own() {
    let config = "[realtime]\norigins = [\"https://hub.test\"]\n\
                  [[realtime.socketio]]\npath = \"/one\"\n\
                  [[realtime.socketio]]\npath = \"/two\"\norigins = [\"https://two.test\"]\n";
    let door = door().config(config).start();
    for (path, origin, status) in [
        ("/one", "https://hub.test", 200),
        ("/one", "https://two.test", 403),
        ("/two", "https://two.test", 200),
        ("/two", "https://hub.test", 403),
    ] {
        assert_eq!(get(door.http(), &format!("{path}?{OPEN}"), &[("origin", origin)]).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn same_site_page_may_omit_its_origin_as_browsers_do() {
    // They send no Origin with a GET of the same origin, but this, which no page can forge.
    let door = door().config("[realtime]\nrequire_origin = true\n").start();
    for (headers, status) in [
        (&[][..], 403),
        (&[("sec-fetch-site", "same-origin")][..], 200),
        (&[("sec-fetch-site", "same-site")][..], 403),
        (&[("sec-fetch-site", "cross-site")][..], 403),
        (&[("sec-fetch-site", "none")][..], 403),
    ] {
        assert_eq!(get(door.http(), TARGET, headers).await.status, status, "{headers:?}");
    }
}
