//! Promise: the API describes itself, and the description is what is served. What it says of bodies and answers is held
//! against every request of the other tests here.

use super::{BASE, get, start};
use crate::harness::client::ask;
use crate::harness::door;

#[tokio::test]
async fn the_description_says_where_it_is() {
    let door = start();
    let description = get(&door, "/openapi.json").await.json;
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["servers"][0]["url"], BASE);
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let moved = door_at("/hub").await;
    assert_eq!(moved["servers"][0]["url"], "/hub");
}

async fn door_at(path: &str) -> serde_json::Value {
    let door = door().config(format!("[api]\npath = \"{path}\"\n")).start();
    let answer = ask(door.admin(), "GET", &format!("{path}/openapi.json"), &[("host", "localhost")], "").await;
    serde_json::from_slice(&answer.bytes().await).expect("JSON")
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let door = start();
    let answer = ask(door.admin(), "HEAD", &format!("{BASE}/connections"), &[("host", "localhost")], "").await;
    assert_eq!((answer.status, answer.bytes().await.len()), (200, 0));
}
