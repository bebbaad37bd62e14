//! Promise: the app sees what is there: channels page by page, who is present, what is kept.

use serde_json::{Value, json};

use super::{get, post, start};
use crate::harness::door;
use crate::harness::socket::connect;

#[tokio::test]
async fn channels_are_listed_by_name_page_by_page() {
    let door = start();
    let mut sockets = Vec::new();
    for name in ["c", "a", "room-2", "room-1", "room-3", "%C3%A4"] {
        sockets.push(connect(&door, &format!("/api/ws/{name}")).await);
    }
    sockets.push(connect(&door, "/api/ws/room-1").await);
    door.wait_for_metric("hub_subscriptions", 7.0).await;
    let names = |json: &Value| {
        json["channels"]
            .as_array()
            .expect("channels")
            .iter()
            .map(|each| each["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&get(&door, "/channels").await.json), ["a", "c", "room-1", "room-2", "room-3", "ä"]);
    let page = get(&door, "/channels?prefix=room-&limit=2").await.json;
    assert_eq!((names(&page), &page["next"]), (vec!["room-1".into(), "room-2".into()], &json!("room-2")));
    assert_eq!(page["channels"][0]["subscribers"], 2);
    let last = get(&door, "/channels?prefix=room-&limit=2&after=room-2").await.json;
    assert_eq!((names(&last), last.get("next")), (vec!["room-3".to_owned()], None));
    assert_eq!(get(&door, "/channels?limit=x").await.status, 400);
    let one = get(&door, "/channels/%C3%A4").await.json;
    assert_eq!(one, json!({"name": "ä", "subscribers": 1, "members": 0}));
    assert_eq!(get(&door, "/channels/nobody").await.json["subscribers"], 0);
    for path in ["/channels/", "/channels/%00", "/connections/zz"] {
        assert_eq!(get(&door, path).await.status, 400, "{path}");
    }
    assert_eq!(get(&door, "/connections/ffffffff00000000").await.status, 404);
    assert_eq!(get(&door, "/nothing").await.status, 404);
}

#[tokio::test]
async fn members_are_who_is_present() {
    let door = door().config("[[realtime.channel]]\nmatch = \"*\"\npresence = \"all\"\n").start();
    let _ada = connect(&door, "/api/ws/lobby").await;
    door.wait_for_metric("hub_members", 1.0).await;
    let members = get(&door, "/channels/lobby/members").await.json;
    let id = members["members"][0]["id"].as_str().expect("a member").to_owned();
    assert_eq!(get(&door, &format!("/connections/{id}")).await.json, json!({"connection": id, "user": null}));
    assert_eq!(get(&door, "/channels/empty/members").await.json, json!({"members": []}));
    assert_eq!(get(&door, "/channels/lobby").await.json["members"], 1);
}

#[tokio::test]
async fn history_is_what_is_kept_from_a_position_on() {
    let door = start();
    assert_eq!(get(&door, "/channels/kept/history").await.json, json!({"messages": []}));
    let mut positions = Vec::new();
    for number in 0..3 {
        let said = post(
            &door,
            "/publish",
            json!({"channel": "kept", "json": number, "name": "n", "id": format!("m{number}")}),
        );
        positions.push(said.await.json["position"].as_str().expect("a position").to_owned());
    }
    let mut ada = connect(&door, "/api/ws/kept").await;
    ada.say("hi").await;
    ada.hear().await;
    let all = get(&door, "/channels/kept/history").await.json;
    let messages = all["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 4);
    assert_eq!(
        (&messages[0]["json"], &messages[0]["name"], &messages[0]["id"]),
        (&json!(0), &json!("n"), &json!("m0"))
    );
    assert_eq!((&messages[3]["text"], messages[3]["connection"].is_string()), (&json!("hi"), true));
    assert_eq!(all["position"], messages[3]["position"]);
    let latest = get(&door, "/channels/kept/history?limit=1").await.json;
    assert_eq!(latest["messages"][0]["text"], "hi");
    let after = get(&door, &format!("/channels/kept/history?since={}&limit=1", positions[0])).await.json;
    assert_eq!((after["messages"].as_array().unwrap().len(), &after["messages"][0]["json"]), (1, &json!(1)));
    assert_eq!(get(&door, "/channels/kept/history?since=start").await.json["messages"].as_array().unwrap().len(), 4);
    assert_eq!(after["more"], true, "there is more of it");
    let before = get(&door, &format!("/channels/kept/history?before={}&limit=1", positions[2])).await.json;
    assert_eq!((&before["messages"][0]["json"], &before["more"]), (&json!(1), &json!(true)), "the latest before it");
    let first = get(&door, &format!("/channels/kept/history?before={}", positions[1])).await.json;
    assert_eq!((first["messages"].as_array().unwrap().len(), &first["more"]), (1, &Value::Null));
    assert_eq!(get(&door, "/channels/kept/history?before=1-1").await.status, 410);
    assert_eq!(get(&door, &format!("/channels/kept/history?since=start&before={}", positions[1])).await.status, 400);
    assert_eq!(get(&door, "/channels/kept/history?since=1-1").await.status, 410);
    assert_eq!(get(&door, "/channels/kept/history?since=yesterday").await.status, 400);
}
