//! Promise: what is not the hub's goes to the app.

use crate::harness::{App, door, wire};

#[tokio::test]
async fn a_request_reaches_the_app_and_its_answer_the_client() {
    let app = App::saying("hello from the app").await;
    let door = door().config(app.config()).start();
    let answer = wire::exchange(door.http(), "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert!(answer.contains("hello from the app"), "{answer}");
}

#[tokio::test]
async fn an_app_that_is_not_there_is_a_503() {
    let door = door().config("[app]\nurl = \"http://127.0.0.1:9\"\nwait_timeout = \"100ms\"\n").start();
    let request = "GET / HTTP/1.1\r\nHost: site.test\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(door.http(), request).await;
    assert_eq!(wire::status(&answer), 503, "{answer}");
    assert!(answer.contains("\"status\":503"), "{answer}");
}
