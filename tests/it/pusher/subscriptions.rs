//! Promise: ten thousand subscriptions on one socket are either granted, or refused in the protocol's words beyond a limit.

use super::app::{data, enter, pusher, subscribe};
use crate::harness::door;

const MANY: usize = 10_000;

#[tokio::test]
async fn beyond_the_limit_each_is_refused_and_the_socket_goes_on() {
    let door = pusher("");
    let (mut socket, _) = enter(&door).await;
    let (mut granted, mut refused) = (0, 0);
    for begin in (0..MANY).step_by(50) {
        for n in begin..begin + 50 {
            socket.say(&subscribe(&format!("channel-{n}"), "")).await;
        }
        for _ in 0..50 {
            let heard = socket.hear_json().await;
            match heard["event"].as_str() {
                Some("pusher_internal:subscription_succeeded") => granted += 1,
                Some("pusher:subscription_error") => {
                    assert_eq!(data(&heard)["status"], 429);
                    refused += 1;
                }
                _ => panic!("{heard}"),
            }
        }
    }
    assert_eq!((granted, refused), (1000, MANY - 1000), "`max_subscriptions` as it is by default");
    socket.say(r#"{"event":"pusher:unsubscribe","data":{"channel":"channel-0"}}"#).await;
    socket.say(&subscribe("another", "")).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded", "there is a place again");
}

#[tokio::test]
async fn ten_thousand_are_granted_where_the_config_allows_them() {
    let app =
        "[realtime]\nmax_subscriptions = 10000\n[[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"s\"\n";
    let door = door().config(app).start();
    let (mut socket, _) = enter(&door).await;
    let before = door.resident();
    for begin in (0..MANY).step_by(50) {
        for n in begin..begin + 50 {
            socket.say(&subscribe(&format!("channel-{n}"), "")).await;
        }
        for _ in 0..50 {
            assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
        }
    }
    let grown = door.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for {MANY} channels with a subscriber each");
}
