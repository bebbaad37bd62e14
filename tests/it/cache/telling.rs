//! Promise: with `tell`, whoever listens hears what is declared old, and nobody else can say so.

use serde_json::{Value, json};

use super::keeping;
use crate::harness::client::ask;
use crate::harness::socket::{Socket, connect, refused};
use crate::harness::{App, Door, response};

const CHANNEL: &str = "/api/ws/doorway:revalidated";

async fn purge(door: &Door, what: Value) {
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let answer = ask(door.admin(), "POST", "/_doorway/api/v1/purge", &headers, what.to_string()).await;
    assert_eq!(answer.status, 200);
}

async fn told(socket: &mut Socket) -> Value {
    let message = socket.hear_json().await;
    assert_eq!((&message["type"], &message["name"]), (&json!("broadcast"), &json!("revalidated")), "{message}");
    message["data"].clone()
}

#[tokio::test]
async fn what_is_declared_old_is_told() {
    let app = App::start(|request| async move {
        let status = if request.uri().path() == "/failed" { 500 } else { 303 };
        let mut answer = response(status, "");
        answer.headers_mut().insert("location", "/thanks".parse().unwrap());
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]\ntell = true");
    let mut socket = connect(&door, CHANNEL).await;
    purge(&door, json!({"paths": ["/b", "/%61"], "tags": ["one"]})).await;
    assert_eq!(told(&mut socket).await, json!({"paths": ["/a", "/b"], "tags": ["one"]}));
    ask(door.http(), "POST", "/form", &[], "").await;
    assert_eq!(told(&mut socket).await, json!({"paths": ["/form", "/thanks"], "tags": []}));
    ask(door.http(), "POST", "/failed", &[], "").await;
    purge(&door, json!({"all": true})).await;
    assert_eq!(told(&mut socket).await, json!({"all": true}));
}

#[tokio::test]
async fn nobody_but_the_door_says_it() {
    let app = App::saying("page").await;
    let door = keeping(&app, "paths = [\"*\"]\ntell = true");
    let (mut liar, mut reader) = (connect(&door, CHANNEL).await, connect(&door, CHANNEL).await);
    liar.say("{\"all\":true}").await;
    purge(&door, json!({"paths": ["/true"]})).await;
    assert_eq!(told(&mut reader).await["paths"], json!(["/true"]), "nothing came before it");
}

#[tokio::test]
async fn a_section_that_names_the_channel_holds() {
    let app = App::saying("page").await;
    let section =
        "paths = [\"*\"]\ntell = true\n[[realtime.channel]]\nmatch = \"doorway:revalidated\"\nsubscribe = \"app\"";
    let door = keeping(&app, section);
    assert_eq!(refused(&door, CHANNEL, &[]).await, 403);
}
