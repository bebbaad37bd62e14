//! Promise: pages of other sites get no socket, no fallback and no signature.

use crate::harness::client::ask;
use crate::harness::door;
use crate::harness::socket::{connect_to, refused};

use super::app::SOCKET;

const CONFIG: &str = "[app]\nurl = \"off\"\n[realtime]\norigins = [\"https://friend.test\"]\n\
                      [[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\nauth = \"doorway\"\n";

#[tokio::test]
async fn a_socket_is_for_pages_of_the_site_and_its_friends() {
    let door = door().config(CONFIG).start();
    let own = format!("http://{}", door.http());
    for origin in [own.as_str(), "https://friend.test"] {
        assert!(connect_to(door.http(), SOCKET, &[("origin", origin)]).await.is_ok(), "{origin}");
    }
    for origin in ["https://evil.test", "null", "http://friend.test"] {
        assert_eq!(refused(&door, SOCKET, &[("origin", origin)]).await, 403, "{origin}");
    }
}

/// The statuses without an Origin show that the request itself is none to refuse for that.
#[tokio::test]
async fn signatures_and_fallbacks_are_too() {
    let door = door().config(CONFIG).start();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let fallback = "/pusher/app/app-key/000/session/xhr_streaming?protocol=7";
    for (path, body) in [
        ("/pusher/auth", "socket_id=1.1&channel_name=private-x"),
        ("/pusher/user-auth", "socket_id=1.1"),
        (fallback, ""),
    ] {
        let status = async |headers: &[(&str, &str)]| {
            let answer = ask(door.http(), "POST", path, headers, body).await;
            (answer.status, answer.header("access-control-allow-origin"))
        };
        let (usual, _) = status(&[form]).await;
        let (evil, shared) = status(&[form, ("origin", "https://evil.test")]).await;
        assert_eq!((evil, shared.as_str()), (403, ""), "{path}");
        let body = String::from_utf8(
            ask(door.http(), "POST", path, &[form, ("origin", "https://evil.test")], body).await.bytes().await.to_vec(),
        );
        assert!(body.unwrap().contains("Pages of this origin"), "{path}");
        let (friend, shared) = status(&[form, ("origin", "https://friend.test")]).await;
        assert_eq!(friend, usual, "{path}");
        assert!(usual != 200 || shared == "https://friend.test", "{path}: {shared}");
    }
}
