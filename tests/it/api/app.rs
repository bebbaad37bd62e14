//! Promise: an app that Doorway starts finds the API's address and token in its environment, whatever is listened on.

use serde_json::Value;

use crate::harness::client::{ask, get};
use crate::harness::{Door, Stub, door};

async fn environment(door: &Door) -> Value {
    serde_json::from_slice(&get(door.http(), "/env", &[]).await.bytes().await).expect("JSON")
}

/// Publishes as the app does: with what it finds in its environment.
async fn publish(environment: &Value) -> u16 {
    let url: http::Uri = environment["DOORWAY_URL"].as_str().expect("an address").parse().expect("a URL");
    let address = url.authority().expect("a place").as_str().parse().expect("an address");
    let token = format!("Bearer {}", environment["DOORWAY_TOKEN"].as_str().expect("a token"));
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let path = format!("{}/publish", url.path());
    ask(address, "POST", &path, &headers, r#"{"channel": "a", "text": "x"}"#).await.status
}

#[tokio::test]
async fn the_app_finds_address_and_token() {
    let project = Stub::new();
    let door = door().config(project.config()).env("PATH", project.search_path()).start();
    let found = environment(&door).await;
    assert_eq!(found["DOORWAY_URL"], format!("http://{}/_doorway/api/v1", door.admin()));
    assert!(found["DOORWAY_TOKEN"].as_str().expect("a token").starts_with("dwt_"));
    assert_eq!(publish(&found).await, 200);
    assert!(!door.output().contains(found["DOORWAY_TOKEN"].as_str().unwrap()), "it is in no log");
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
    assert_eq!(environment(&door).await["DOORWAY_TOKEN"], found["DOORWAY_TOKEN"], "it survives a reload");
    assert_eq!(publish(&found).await, 200);
}

#[tokio::test]
async fn without_an_admin_listener_there_is_a_private_one() {
    let project = Stub::new();
    let token = "given-by-the-operators-environment";
    let config = format!("{}[admin]\nlisten = \"off\"\n", project.config());
    let door = door().config(config).env("PATH", project.search_path()).env("DOORWAY_TOKEN", token).start();
    let found = environment(&door).await;
    assert_eq!(found["DOORWAY_TOKEN"], token);
    assert_eq!(publish(&found).await, 200);
    let mut wrong = found.clone();
    wrong["DOORWAY_TOKEN"] = "wrong".into();
    assert_eq!(publish(&wrong).await, 401);
    let url: http::Uri = found["DOORWAY_URL"].as_str().unwrap().parse().unwrap();
    let private = url.authority().unwrap().as_str().parse().unwrap();
    assert_eq!(get(private, "/metrics", &[]).await.status, 404, "nothing else is there");
    assert_eq!(get(private, "/_doorway/api/v1/connections", &[("host", "localhost")]).await.status, 401);
}

#[tokio::test]
async fn a_new_token_reaches_the_app_by_a_reload() {
    let project = Stub::new();
    let with = |tokens: &str| format!("{}[api]\ntoken = {tokens}\n", project.config());
    let (old, new) = ("o".repeat(32), "n".repeat(32));
    let door = door().config(with(&format!("\"{old}\""))).env("PATH", project.search_path()).start();
    assert_eq!(environment(&door).await["DOORWAY_TOKEN"], old);
    let seen = door.log().len();
    door.rewrite(&with(&format!("[\"{new}\", \"{old}\"]")));
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "app started");
    assert_eq!(environment(&door).await["DOORWAY_TOKEN"], new);
}
