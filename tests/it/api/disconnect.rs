//! Promise: the app can close a connection, or all of a user, behind what was sent to it before.

use serde_json::json;

use super::{call, post, start};
use crate::harness::socket::connect;
use crate::harness::{App, door, response};

#[tokio::test]
async fn a_users_connections_are_closed_with_code_and_reason() {
    let app = App::start(|request| async move {
        if request.method() == "POST" { response(200, json!({"user": "ada"}).to_string()) } else { response(404, "") }
    })
    .await;
    let door = door()
        .config(app.config() + "[callbacks]\nevents = [\"connect\"]\n[[realtime.channel]]\nmatch = \"default\"\n")
        .start();
    let mut one = connect(&door, "/api/ws").await;
    let mut two = connect(&door, "/api/ws").await;
    post(&door, "/publish", json!({"user": "ada", "text": "bye"})).await;
    let answer = post(&door, "/disconnect", json!({"user": "ada", "code": 4001, "reason": "signed out"})).await;
    assert_eq!((answer.status, &answer.json), (200, &json!({"connections": 2})));
    for socket in [&mut one, &mut two] {
        assert_eq!(socket.hear_json().await["data"], "bye", "what was sent before comes before");
        assert_eq!(socket.closed().await, (4001, "signed out".to_owned()));
    }
    door.wait_for_log(|line| line["message"] == "disconnected by the API");
    door.wait_for_metric("hub_connections", 0.0).await;
    assert_eq!(post(&door, "/disconnect", json!({"user": "ada"})).await.json, json!({"connections": 0}));
}

#[tokio::test]
async fn who_is_not_there_cannot_be_closed() {
    let door = start();
    let answer = post(&door, "/disconnect", json!({"connection": "ffffffff00000000"})).await;
    assert_eq!(answer.status, 404);
    for (body, pointer) in [
        ("{}", "#"),
        (r#"{"user": "a", "connection": "00ff"}"#, "#"),
        (r#"{"connection": "x"}"#, "#/connection"),
        (r#"{"user": "a", "code": 1006}"#, "#/code"),
        (r#"{"user": "a", "code": "4001"}"#, "#/code"),
        (r#"{"user": "a", "reason": 5}"#, "#/reason"),
    ] {
        let answer = call(&door, "POST", "/disconnect", body).await;
        assert_eq!(
            (answer.status, &answer.json["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{body}: {}",
            answer.json
        );
    }
}
