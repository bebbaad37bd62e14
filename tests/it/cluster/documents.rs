//! Documents are those of all doors: one of them has a room, and the operator and receivers of webhooks find it by any.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use doorway::config::Config;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::hears;
use crate::documents::{Site, editor, make, plain};
use crate::harness::client::{Answer, ask, get};
use crate::harness::redis::Redis;
use crate::harness::socket::{Socket, connect_to};
use crate::harness::{App, Door, eventually, response};

const KEEPS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// So many doors, each with a folder for what is beside it.
fn doors<const N: usize>(redis: &Redis, more: &str) -> [(Site, Door); N] {
    doors_with(redis, more, "")
}

/// The same, with more of `[realtime.redis]`.
fn doors_with<const N: usize>(redis: &Redis, more: &str, of_redis: &str) -> [(Site, Door); N] {
    let doors = [(); N].map(|()| {
        let site = Site::with(&format!("{more}{}peer = \"127.0.0.1:0\"\n{of_redis}", redis.config()));
        let door = site.start();
        (site, door)
    });
    for (_, door) in &doors {
        hears(door);
        door.wait_for_log(|line| line["message"] == "the other doors can reach this one");
    }
    doors
}

/// The problems of a file, a line each.
fn problems(text: &str) -> Vec<String> {
    match Config::parse("proxy.toml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| problem.what.clone()).collect(),
    }
}

#[test]
fn what_documents_need_beside_a_redis_is_said() {
    let redis = "[realtime.redis]\nurl = \"redis://127.0.0.1:1\"\n";
    let (peer, edits) = ("peer = \"127.0.0.1:7443\"\n", "[realtime.yjs]\nrooms = [\"*\"]\n");
    let says = |text: &str, what: &str| {
        let problems = problems(text);
        assert!(problems.len() == 1 && problems[0].contains(what), "{text}: {problems:?}");
    };
    let liveblocks = "[realtime.liveblocks]\npublic_key = \"pk_mine\"\n";
    for edits in [edits, liveblocks] {
        says(&format!("{redis}{edits}"), "documents that several doors share need realtime.redis.peer");
        assert_eq!(problems(&format!("{redis}{peer}{edits}")), Vec::<String>::new());
        says(&format!("{redis}{peer}{edits}[documents]\nstore = \"disk\""), "documents on disk are of one door");
    }
    says("[documents]\nstore = \"redis\"", "documents.store is \"redis\", and there is none");
    says(&format!("{redis}[documents]\nstore = \"redis\""), "need realtime.redis.peer");
    says("[documents]\nstore = \"paper\"", "documents.store must be one of: \"disk\" \"redis\"");
    assert_eq!(problems(redis), Vec::<String>::new(), "nobody edits there");
}

#[tokio::test]
async fn the_operator_finds_documents_by_any_door() {
    let redis = Redis::start(&KEEPS);
    let [(here, one), (there, two)] = doors::<2>(&redis, "");
    make(&one, "one", "first").await;
    let mut ada = editor(&one, "one").await;
    let listed = there.done(&["list"]).await;
    assert_eq!(listed.lines().map(|line| line.split_whitespace().last().unwrap()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(there.rows("one", &[]).await, here.rows("one", &[]).await);
    let file = there.path("one.json");
    there.done(&["export", "one", &file]).await;

    // What is refused takes nothing from whoever has it.
    let said = there.refused(&["import", "one", &file]).await;
    assert!(said.contains("\"one\" has documents already"), "{said}");
    ada.is_quiet().await;
    // It is the first door's, and the second takes it.
    there.done(&["import", "one", &file, "--replace"]).await;
    assert_eq!(ada.closed().await.0, 1011);
    let mut bob = editor(&one, "one").await;
    assert_eq!(plain(&one, "one").await["title"], "first");
    // Now it is the first door's again.
    there.done(&["delete", "one"]).await;
    assert_eq!(bob.closed().await, (4001, "the room was deleted".to_owned()));
    assert_eq!(here.done(&["list"]).await, "");
    assert!(there.refused(&["delete", "one"]).await.contains("there are no documents of \"one\""));

    // What a file of Redis' own is for.
    for command in [&["backup", &here.path("copy")][..], &["set-aside", "--config", &here.path("door.toml")]] {
        let said = here.refused(command).await;
        assert!(said.contains("documents are in Redis: it copies them itself"), "{said}");
    }
    drop((one, two));
    let said = here.refused(&["list", "--config", &here.path("door.toml")]).await;
    assert!(said.contains("documents are in Redis, and no door runs here"), "{said}");
}

#[tokio::test]
async fn documents_on_disk_move_to_several_doors_by_files() {
    let alone = Site::with("");
    let door = alone.start();
    make(&door, "one", "first").await;
    editor(&door, "one").await.close(1000).await;
    let file = alone.path("one.json");
    alone.done(&["export", "one", &file]).await;
    let rows = alone.rows("one", &[]).await;
    let redis = Redis::start(&KEEPS);
    let [(_, one), (there, two)] = doors::<2>(&redis, "");
    there.done(&["import", "one", &file]).await;
    assert_eq!(there.rows("one", &[]).await, rows);
    for door in [&one, &two] {
        assert_eq!(plain(door, "one").await["title"], "first");
        editor(door, "one").await.close(1000).await;
    }
}

#[tokio::test]
async fn a_change_is_told_once_by_whoever_has_the_room() {
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&told);
    let app = App::start(move |request| {
        let told = Arc::clone(&kept);
        async move {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            told.lock().unwrap().push(serde_json::from_slice(&body).expect("JSON"));
            response(200, "")
        }
    })
    .await;
    let redis = Redis::start(&KEEPS);
    let hook = format!("[[realtime.documents.webhooks]]\nurl = \"http://{}/hook\"\nchannels = [\"*\"]\n", app.address);
    let [(_, one), (_, two), (site, three)] = doors::<3>(&redis, &hook);
    for (number, door) in [&one, &two, &three].into_iter().enumerate() {
        let room = format!("room-{number}");
        let mut editors = Vec::new();
        for door in [door, &one, &two, &three] {
            editors.push(editor(door, &room).await);
        }
        let told_of = |kind: &str| {
            let is_it = |event: &&Value| event["type"] == kind && event["data"]["channel"] == *room;
            told.lock().unwrap().iter().filter(is_it).count()
        };
        eventually("it is told", async || told_of("document.changed") > 0).await;
        site.done(&["delete", &room]).await;
        eventually("that it is gone is told", async || told_of("document.deleted") > 0).await;
        assert_eq!((told_of("document.changed"), told_of("document.deleted")), (1, 1));
        for editor in &mut editors {
            assert_eq!(editor.closed().await.0, 4001);
        }
    }
}

/// Why a door is not ready; empty when it is.
async fn ails(door: &Door) -> String {
    let answer = get(door.admin(), "/health/ready", &[("host", "localhost")]).await;
    if answer.status == 200 { String::new() } else { String::from_utf8_lossy(&answer.bytes().await).into_owned() }
}

#[tokio::test]
async fn without_redis_nothing_is_acknowledged_and_that_is_said() {
    let mut redis = Redis::start(&KEEPS);
    let [(_, one), (_, two)] = doors::<2>(&redis, "");
    let (mut ada, mut bob) = (editor(&one, "one").await, editor(&two, "two").await);
    redis.kill();
    let body = r#"{"channel":"one","update":"AQEBAAQBAXQCaGkA"}"#;
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let answer = ask(one.admin(), "POST", "/_doorway/api/v1/yjs", &headers, body).await;
    assert_eq!(answer.status, 503, "what the app says is not kept either");
    assert_eq!(ada.closed().await.0, 1011);
    let update = [&[0, 2, 12, 1, 1, 2, 0, 4, 1, 1, b't', 2][..], b"ho", &[0]].concat();
    bob.send(Message::Binary(update.into())).await;
    assert_eq!(bob.closed().await.0, 1011);
    for door in [&one, &two] {
        eventually("it is not ready", async || ails(door).await.contains("Redis")).await;
    }
    redis.restart();
    for door in [&one, &two] {
        eventually("it is ready again", async || ails(door).await.is_empty()).await;
        for room in ["one", "two"] {
            editor(door, room).await.close(1000).await;
        }
    }
}

#[tokio::test]
async fn a_redis_that_keeps_nothing_is_said_once() {
    let redis = Redis::start(&[]);
    let [(_, one), _] = doors::<2>(&redis, "");
    for room in ["one", "two"] {
        editor(&one, room).await.close(1000).await;
    }
    let is_it = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("set appendonly yes"));
    assert_eq!(one.wait_for_log(is_it)["level"], "WARN");
    assert_eq!(one.log().iter().filter(|line| is_it(line)).count(), 1);
}

/// Two doors, and a room that the first one has, by who edits there.
async fn edited(redis: &Redis) -> ([(Site, Door); 2], Socket) {
    let doors = doors::<2>(redis, "");
    make(&doors[0].1, "one", "first").await;
    let editor = editor(&doors[0].1, "one").await;
    (doors, editor)
}

/// Patches the tree of a room by the operator's listener.
async fn patch(door: &Door, room: &str, key: &str, operations: Value) -> Answer {
    let headers = [("host", "localhost"), ("content-type", "application/json"), ("idempotency-key", key)];
    let body = json!({ "channel": room, "patch": operations }).to_string();
    ask(door.admin(), "POST", "/_doorway/api/v1/tree", &headers, body).await
}

#[tokio::test]
async fn what_the_rooms_door_has_refused_is_judged_again() {
    let redis = Redis::start(&KEEPS);
    let ([(_, one), (_, two)], _ada) = edited(&redis).await;
    let operations =
        || json!([{ "op": "test", "path": "/title", "value": "second" }, { "op": "add", "path": "/x", "value": 1 }]);
    for door in [&two, &one] {
        assert_eq!(patch(door, "one", "key", operations()).await.status, 400);
    }
    let renamed = json!([{ "op": "replace", "path": "/title", "value": "second" }]);
    assert_eq!(patch(&one, "one", "other", renamed).await.status, 200);
    let answer = patch(&two, "one", "key", operations()).await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, String::new()));
    for door in [&one, &two] {
        let answer = patch(door, "one", "key", operations()).await;
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, "true".to_owned()));
    }
}

#[tokio::test]
async fn what_is_done_once_goes_on_though_its_client_leaves() {
    let redis = Redis::start(&KEEPS);
    let ([(_, one), (_, two)], _ada) = edited(&redis).await;
    let operations = || json!([{ "op": "add", "path": "/list/-", "value": "new" }]);
    one.signal("STOP");
    {
        let mut asking = pin!(patch(&two, "one", "key", operations()));
        let claimed = eventually("the key is taken", async || redis.dump().contains("key:key"));
        tokio::select! {
            _ = &mut asking => panic!("its door stands still"),
            () = claimed => {}
        }
    }
    one.signal("CONT");
    let replayed = Mutex::new(String::new());
    eventually("it was done", async || {
        let said = patch(&two, "one", "key", operations()).await;
        let is_done = said.status == 200;
        assert!(is_done || said.status == 409, "{}", said.status);
        *replayed.lock().unwrap() = said.header("idempotency-replayed");
        is_done
    })
    .await;
    assert_eq!(*replayed.lock().unwrap(), "true");
    assert_eq!(plain(&two, "one").await["list"], json!([1, "two", "new"]));
}

#[tokio::test]
async fn nobody_waits_long_for_documents_that_cannot_be_had() {
    let redis = Redis::start(&KEEPS);
    let [(_, one), _] = doors_with::<2>(&redis, "", "message_patience = \"3s\"\n");
    redis.signal("STOP");
    let refused =
        (0..100).map(async |number| match connect_to(one.http(), &format!("/api/ws/yjs/room-{number}"), &[]).await {
            Ok(mut editor) => editor.closed().await.0,
            Err(Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("{error}"),
        });
    let refused = join_all(refused).await;
    assert!(refused.iter().all(|why| [503, 1011].contains(why)), "{refused:?}");
    redis.signal("CONT");
}
