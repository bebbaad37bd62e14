//! Promise: who may not open a socket is told why, as RFC 6455 and RFC 9110 say; who may, can.

use crate::harness::client::{ask, get};
use crate::harness::socket::{connect, connect_to, refused};
use crate::harness::{door, wire};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn bad_upgrades_get_the_right_status() {
    let door = door().start();
    let version = "Sec-WebSocket-Version: 13\r\n";
    let without = |name: &str| {
        let lines = UPGRADE.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
        format!("{}{version}", lines.collect::<String>())
    };
    for (what, method, headers, status) in [
        ("no key", "GET", without("Sec-WebSocket-Key"), 400),
        ("a short key", "GET", format!("{}Sec-WebSocket-Key: c2hvcnQ=\r\n", without("Sec-WebSocket-Key")), 400),
        ("no version", "GET", UPGRADE.to_owned(), 400),
        ("an old version", "GET", format!("{UPGRADE}Sec-WebSocket-Version: 8\r\n"), 426),
        ("another method", "PUT", format!("{UPGRADE}{version}"), 405),
        ("no upgrade at all", "GET", String::new(), 426),
        ("a name with a control character", "GET", format!("{UPGRADE}{version}"), 400),
        ("a path below a room", "GET", format!("{UPGRADE}{version}"), 404),
    ] {
        let path = match what {
            "a name with a control character" => "/api/ws/%1fx",
            "a path below a room" => "/api/ws/a/b",
            _ => "/api/ws",
        };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: site.test\r\n{headers}\r\n");
        // Kept-alive answers are cut at the end of what was sent.
        let request = request.replacen("Connection: Upgrade", "Connection: Upgrade, close", 1);
        let request = if request.contains("close") {
            request
        } else {
            request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)
        };
        let answer = wire::exchange(door.http(), request).await;
        assert_eq!(wire::status(&answer), status, "{what}: {answer}");
        if status == 426 {
            assert!(answer.to_lowercase().contains("\r\nsec-websocket-version: 13\r\n"), "{what}: {answer}");
        }
    }
}

#[tokio::test]
async fn only_the_sites_own_pages_may_connect() {
    let door = door().config("[realtime]\norigins = [\"https://*.friend.test\"]\n").start();
    let own = format!("http://{}", door.http());
    for origin in [own.as_str(), "https://chat.friend.test"] {
        connect_to(door.http(), "/api/ws", &[("origin", origin)])
            .await
            .unwrap_or_else(|error| panic!("{origin}: {error}"));
    }
    connect(&door, "/api/ws").await;
    let https = format!("https://{}", door.http());
    for origin in ["https://evil.test", "null", https.as_str(), "http://127.0.0.1", "https://friend.test.evil.test"] {
        assert_eq!(refused(&door, "/api/ws", &[("origin", origin)]).await, 403, "{origin}");
    }
    assert_eq!(refused(&door, "/api/ws", &[("origin", &own), ("origin", &own)]).await, 403, "twice");
    let answer = get(door.http(), "/api/ws", &[("origin", "https://evil.test"), ("accept", "text/event-stream")]).await;
    assert_eq!(answer.status, 403);
    let answer = get(door.http(), "/api/ws", &[("origin", "https://evil.test"), ("accept", "application/json")]).await;
    assert_eq!(answer.status, 403);
}

/// `<script src>` and `<img src>` bring cookies and no Origin.
#[tokio::test]
async fn a_foreign_page_without_an_origin_is_refused() {
    let own = door().start();
    let anyone = door().config("[realtime]\norigins = [\"*\"]\n").start();
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        for accept in ["application/json", "text/event-stream"] {
            let headers = [("sec-fetch-site", site), ("accept", accept)];
            assert_eq!(get(own.http(), "/api/ws", &headers).await.status, status, "{site} {accept}");
            assert_eq!(get(anyone.http(), "/api/ws", &headers).await.status, 200, "{site} {accept}");
        }
        let target = "/socket.io/?EIO=4&transport=polling";
        assert_eq!(get(own.http(), target, &[("sec-fetch-site", site)]).await.status, status, "{site}");
    }
}

#[tokio::test]
async fn an_origin_can_be_demanded() {
    let door = door().config("[realtime]\nrequire_origin = true\n").start();
    assert_eq!(refused(&door, "/api/ws", &[]).await, 403);
    let own = format!("http://{}", door.http());
    connect_to(door.http(), "/api/ws", &[("origin", &own)]).await.expect("let in");
}

#[tokio::test]
async fn a_client_that_offers_protocols_gets_one_it_offered() {
    let door = door().start();
    let mut socket =
        connect_to(door.http(), "/api/ws", &[("sec-websocket-protocol", "chat, v2")]).await.expect("let in");
    socket.say("x").await;
    assert_eq!(socket.hear_json().await["type"], "echo");
}

#[tokio::test]
async fn the_hubs_path_is_configurable_and_the_old_one_is_the_apps() {
    let door = door().config("[app]\nurl = \"http://127.0.0.1:9\"\n[realtime]\npath = \"/live\"\n").start();
    connect(&door, "/live/room").await.is_quiet().await;
    assert!(refused(&door, "/api/ws", &[]).await >= 400);
}

#[tokio::test]
async fn connections_are_limited_in_all_and_by_address() {
    let door = door().config("[listen]\ntrusted_proxies = \"127.0.0.1\"\n[realtime]\nmax_connections = 3\n").start();
    let mut inside = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let socket = connect_to(door.http(), "/api/ws", &[("x-forwarded-for", client)]).await;
        inside.push(socket.expect("a place"));
    }
    assert_eq!(refused(&door, "/api/ws", &[]).await, 503);
    inside.pop().unwrap().close(1000).await;
    door.wait_for_log(|line| line["message"] == "socket closed");
    connect(&door, "/api/ws").await;

    let door = crate::harness::door().config("[realtime]\nmax_connections_per_address = 1\n").start();
    let _first = connect(&door, "/api/ws").await;
    assert_eq!(refused(&door, "/api/ws", &[]).await, 429);
    let answer = get(door.http(), "/api/ws", &[("accept", "text/event-stream")]).await;
    assert_eq!((answer.status, answer.header("retry-after").is_empty()), (429, false));
}

/// Whoever is sent away is not sent back at the same moment as all others.
#[tokio::test]
async fn those_sent_away_are_told_different_times_to_come_back() {
    let door = door().config("[realtime]\nmax_connections = 1\n").start();
    let _only = connect(&door, "/api/ws").await;
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) = connect_to(door.http(), "/api/ws", &[]).await
        else {
            panic!("let in")
        };
        assert_eq!(answer.status(), 503);
        told.insert(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().expect("seconds"));
    }
    assert!(told.len() >= 3, "{told:?}");
    assert!(told.first() >= Some(&1) && told.last() <= Some(&30), "{told:?}");
}

#[tokio::test]
async fn many_connections_of_one_address_leave_places_for_another() {
    let trust = "[listen]\ntrusted_proxies = \"127.0.0.1\"\n";
    let door = door().config(format!("{trust}[realtime]\nmax_connections = 8\n")).start();
    let client = |address| [("x-forwarded-for", address)];
    let mut held = Vec::new();
    while held.len() < 8
        && let Ok(socket) = connect_to(door.http(), "/api/ws", &client("192.0.2.1")).await
    {
        held.push(socket);
    }
    assert_eq!(held.len(), 4, "a half");
    assert_eq!(refused(&door, "/api/ws", &client("192.0.2.1")).await, 429);
    let mut other = connect_to(door.http(), "/api/ws", &client("192.0.2.2")).await.expect("a place");
    other.is_quiet().await;
}

#[tokio::test]
async fn a_channel_that_is_not_for_you_is_forbidden_at_the_door() {
    let config = "[[realtime.channel]]\nmatch = \"staff-*\"\nsubscribe = \"identified\"\n[[realtime.channel]]\n\
                  match = \"news\"\npublish = \"app\"\n[realtime.plain]\necho = false\n";
    let door = door().config(config).start();
    assert_eq!(refused(&door, "/api/ws/staff-1", &[]).await, 403);
    for accept in ["text/event-stream", "application/json"] {
        assert_eq!(get(door.http(), "/api/ws/staff-1", &[("accept", accept)]).await.status, 403);
    }
    let mut reader = connect(&door, "/api/ws/news").await;
    reader.say("fake news").await;
    let error = reader.hear_json().await;
    assert_eq!((&error["type"], &error["error"]), (&"error".into(), &"forbidden".into()), "{error}");
    reader.is_quiet().await;
}

#[tokio::test]
async fn limits_of_a_channel_are_said_and_the_socket_goes_on() {
    let config = "[[realtime.channel]]\nmatch = \"*\"\nmax_message = \"5B\"\npublish_rate = 2\nmax_subscribers = 2\n\
                  [realtime.plain]\necho = false\n";
    let door = door().config(config).start();
    let mut alice = connect(&door, "/api/ws").await;
    let _bob = connect(&door, "/api/ws").await;
    alice.say("longer").await;
    assert_eq!(alice.hear_json().await["error"], "too_big");
    for _ in 0..5 {
        alice.say("x").await;
    }
    let mut refused = 0;
    for _ in 0..5 {
        refused += usize::from(alice.hear_json().await["error"] == "too_many");
    }
    assert!((1..=4).contains(&refused), "{refused}");
    let mut carol = connect(&door, "/api/ws").await;
    assert_eq!(carol.closed().await.0, 1013, "the channel is full");
}

#[tokio::test]
async fn other_methods_are_told_what_there_is() {
    let door = door().start();
    let answer = ask(door.http(), "POST", "/api/ws", &[], "forged").await;
    assert_eq!((answer.status, answer.header("allow").as_str()), (405, "GET, HEAD"));
    assert_eq!(get(door.http(), "/api/ws", &[("accept", "text/html")]).await.status, 426);
}

#[tokio::test]
async fn storm_is_admitted_at_a_rate_with_retry_after() {
    let door = door().config("[realtime]\nadmission_rate = 20\nadmission_wait = \"500ms\"\n").start();
    let started = std::time::Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let address = door.http();
        asking.spawn(async move { connect_to(address, "/api/ws", &[]).await });
    }
    let (mut inside, mut outside) = (Vec::new(), 0);
    while let Some(asked) = asking.join_next().await {
        match asked.expect("no panic") {
            Ok(socket) => inside.push(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
                assert_eq!(answer.status(), 503);
                let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((1..60).contains(&after), "{after}");
                outside += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    // A second's worth at once, of half a second's worth that may wait one address's share, and what came free meanwhile.
    let most = 32.0 + 20.0 * started.elapsed().as_secs_f64();
    assert!(inside.len() >= 25 && inside.len() as f64 <= most, "{} of at most {most}", inside.len());
    assert_eq!(inside.len() + outside, 60);
    for socket in &mut inside {
        socket.is_quiet().await;
    }
}

/// Once a minute a cause: what was said in the log, and what to do.
#[tokio::test]
async fn whoever_is_refused_leaves_a_remedy_in_the_log() {
    let config = "[realtime.tokens]\nrequired = true\nsecret = \"a secret of at least thirty-two bytes\"\n";
    let door = door().config(config).start();
    let https = format!("https://{}", door.http());
    for _ in 0..3 {
        for (path, headers, status) in [
            ("/api/ws", &[("origin", "https://evil.test")][..], 403),
            ("/api/ws", &[("origin", https.as_str())], 403),
            ("/api/ws", &[], 401),
            ("/api/ws?token=nonsense", &[], 401),
            ("/chat", &[], 404),
            ("/docs/_next/webpack-hmr", &[], 404),
        ] {
            assert_eq!(refused(&door, path, headers).await, status, "{path} {headers:?}");
        }
    }
    let said = [
        ("a socket of another site's page was refused", "[realtime] origins = [\"https://evil.test\"]"),
        ("a socket of the site itself was refused", "trusted_proxies"),
        ("a client without a token was refused", "[realtime.tokens] required"),
        ("a client's token was refused", "[realtime.tokens]"),
        ("a socket was refused: no WebSocket is spoken there", "[app] tunnel = [\"/chat\"]"),
        ("a socket was refused: no WebSocket is spoken there", "[app] dev = true"),
    ];
    let is = |line: &serde_json::Value, (message, help): (&str, &str)| {
        line["message"] == message && line["help"].as_str().is_some_and(|text| text.contains(help))
    };
    for each in said {
        let line = door.wait_for_log(|line| is(line, each));
        assert_eq!(line["level"], "WARN", "{line}");
    }
    // Lines come in their order: what is said behind all of that shows that each was said once.
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
    for each in said {
        let count = door.log().iter().filter(|line| is(line, each)).count();
        assert_eq!(count, 1, "{each:?}: {}", door.output());
    }
    let door = self::door().config("[realtime]\nrequire_origin = true\n").start();
    assert_eq!(refused(&door, "/api/ws", &[]).await, 403);
    let line = door.wait_for_log(|line| line["message"] == "a client without an Origin was refused");
    assert!(line["help"].as_str().unwrap().contains("require_origin"), "{line}");
}
