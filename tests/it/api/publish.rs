//! Promise: a route handler publishes with one request, to a channel, a user, a connection or everyone; many at once in
//! order; and what is wrong is named with its place.

use serde_json::{Value, json};

use super::{CONFIG, call, call_with, get, post, schema, start};
use crate::harness::socket::connect;
use crate::harness::{App, door, response};

/// Where the app is asked, a channel is open to clients who come by themselves only if it is named.
const OPEN: &str = "[[realtime.channel]]\nmatch = \"*\"\n";

#[tokio::test]
async fn what_is_published_reaches_the_channel() {
    let door = start();
    let mut ada = connect(&door, "/api/ws/lobby").await;
    let mut bob = connect(&door, "/api/ws/other").await;
    let answer = post(&door, "/publish", json!({"channel": "lobby", "json": {"n": 1}, "name": "news"})).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert!(answer.json["position"].is_string(), "{}", answer.json);
    assert_eq!(ada.hear_json().await, json!({"type": "broadcast", "name": "news", "data": {"n": 1}}));
    post(&door, "/publish", json!({"channel": "lobby", "text": "two\nlines"})).await;
    assert_eq!(ada.hear_json().await["data"], "two\nlines");
    post(&door, "/publish", json!({"channel": "lobby", "base64": "AAEC"})).await;
    let heard = ada.hear_json().await;
    assert_eq!((&heard["data"], &heard["encoding"]), (&json!("AAEC"), &json!("base64")));
    let big = r#"{"channel": "lobby", "json": 123456789012345678901234567890.123456789}"#;
    assert_eq!(call(&door, "POST", "/publish", big).await.status, 200);
    assert!(ada.hear().await.contains("123456789012345678901234567890.123456789"), "numbers stay as they were written");
    bob.is_quiet().await;
    let nobody = post(&door, "/publish", json!({"channel": "empty", "text": "x"})).await;
    assert_eq!((nobody.status, &nobody.json), (200, &json!({})), "where nobody is, nothing is numbered");
}

#[tokio::test]
async fn what_was_said_is_changed_where_that_may_be() {
    let config = format!("{CONFIG}[[realtime.channel]]\nmatch = \"chat-*\"\nhistory = 2\nmutable = true\n{OPEN}");
    let door = door().config(config).start();
    let mut ada = connect(&door, "/api/ws/chat-1?since=now").await;
    let mut bare = connect(&door, "/api/ws/chat-1").await;
    assert_eq!(ada.hear_json().await["type"], "subscribed");
    let say = async |body: Value| {
        let answer = post(&door, "/publish", body).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        answer.json["position"].as_str().expect("a position").to_owned()
    };
    let first = say(json!({"channel": "chat-1", "text": "a"})).await;
    let update = say(json!({"channel": "chat-1", "update": first, "json": {"b": 1}, "name": "n"})).await;
    let told = [ada.hear_json().await, ada.hear_json().await];
    assert_eq!((&told[0]["type"], &told[0]["id"]), (&json!("broadcast"), &json!(first)));
    let expected =
        json!({"type": "change", "change": "update", "of": first, "data": {"b": 1}, "name": "n", "id": update});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&told[1][key], value, "{}", told[1]);
    }
    let mut last = String::new();
    for text in ["x", "y", "z"] {
        last = say(json!({"channel": "chat-1", "text": text})).await;
    }
    say(json!({"channel": "chat-1", "append": last, "text": "!"})).await;
    say(json!({"channel": "chat-1", "delete": last})).await;
    let kept = get(&door, "/channels/chat-1/history").await.json;
    let shown = |index: usize| (kept["messages"][index]["text"].clone(), kept["messages"][index]["change"].clone());
    assert_eq!((shown(0), shown(1)), ((json!("y"), Value::Null), (json!("z!"), json!("delete"))), "{kept}");
    for text in ["a", "x", "y", "z"] {
        assert_eq!(bare.hear_json().await["data"], text, "who has no words for changes hears none");
    }
    for (body, status) in [
        (json!({"channel": "chat-1", "update": first, "text": "gone"}), 404),
        (json!({"channel": "chat-9", "update": first, "text": "never was"}), 404),
        (json!({"channel": "fixed", "update": last, "text": "x"}), 400),
        (json!({"channels": ["chat-1", "chat-2"], "update": last, "text": "x"}), 400),
        (json!({"channel": "chat-1", "update": "x", "text": "x"}), 400),
        (json!({"channel": "chat-1", "update": last, "delete": last}), 400),
        (json!({"channel": "chat-1", "append": last}), 400),
    ] {
        let answer = post(&door, "/publish", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.json);
    }
}

#[tokio::test]
async fn several_channels_are_heard_once_and_exceptions_not_at_all() {
    let app = App::start(|request| async move {
        let join = json!({"channels": ["a", "b"], "commands": [{"do": "send", "text": "hello"}]});
        if request.method() == "POST" { response(200, join.to_string()) } else { response(404, "") }
    })
    .await;
    let door = door().config(format!("{}{CONFIG}[callbacks]\nevents = [\"connect\"]\n{OPEN}", app.config())).start();
    let mut both = connect(&door, "/api/ws/a").await;
    assert_eq!(both.hear_json().await["data"], "hello");
    post(&door, "/publish", json!({"channels": ["a", "b"], "text": "once"})).await;
    post(&door, "/publish", json!({"channel": "b", "text": "then"})).await;
    assert_eq!(both.hear_json().await["data"], "once");
    assert_eq!(both.hear_json().await["data"], "then");

    post(&door, "/publish", json!({"everyone": true, "text": "who?"})).await;
    assert_eq!(both.hear_json().await["data"], "who?");
    both.say("here").await;
    assert_eq!(both.hear_json().await["data"], "here");
    let said = json!({"channel": "kept-1", "text": "x"});
    post(&door, "/publish", said).await;
    both.is_quiet().await;
}

#[tokio::test]
async fn a_connection_and_a_user_are_reached_alone() {
    let app = App::start(|request| async move {
        let (head, body) = request.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.expect("a body").to_bytes();
        let question: Value = serde_json::from_slice(&body).unwrap_or_default();
        if head.method != "POST" {
            return response(404, "");
        }
        let id = question["data"]["client"]["connection"].as_str().unwrap_or_default().to_owned();
        let user = question["data"]["client"]["query"].as_str().unwrap_or_default().to_owned();
        response(200, json!({"user": user, "commands": [{"do": "send", "text": id}]}).to_string())
    })
    .await;
    let door = door().config(format!("{}{CONFIG}[callbacks]\nevents = [\"connect\"]\n{OPEN}", app.config())).start();
    let mut ada = connect(&door, "/api/ws?ada").await;
    let mut bob = connect(&door, "/api/ws?bob").await;
    let id = ada.hear_json().await["data"].as_str().expect("an id").to_owned();
    bob.hear().await;

    let sent = post(&door, "/publish", json!({"connection": id, "text": "psst"})).await;
    assert_eq!(sent.json, json!({"connections": 1}));
    assert_eq!(ada.hear_json().await["data"], "psst");
    let sent = post(&door, "/publish", json!({"user": "bob", "text": "hey"})).await;
    assert_eq!(sent.json, json!({"connections": 1}));
    assert_eq!(bob.hear_json().await["data"], "hey");
    let sent = post(&door, "/publish", json!({"everyone": true, "text": "all"})).await;
    assert_eq!(sent.json, json!({"connections": 2}));
    assert_eq!(
        (ada.hear_json().await["data"].clone(), bob.hear_json().await["data"].clone()),
        (json!("all"), json!("all"))
    );
    let away = post(&door, "/publish", json!({"user": "eve", "text": "x"})).await;
    assert_eq!((away.status, &away.json), (200, &json!({"connections": 0})), "a user who is away is no error");
    let gone = post(&door, "/publish", json!({"connection": "ffffffff00000000", "text": "x"})).await;
    assert_eq!((gone.status, &gone.json["type"]), (404, &json!("urn:doorway:problem:not-found")));

    let published = post(&door, "/publish", json!({"channel": "default", "text": "not to ada", "except": [id]})).await;
    assert!(published.json["position"].is_string(), "{}", published.json);
    assert_eq!(bob.hear_json().await["data"], "not to ada");
    ada.is_quiet().await;
    assert_eq!(get(&door, &format!("/connections/{id}")).await.json, json!({"connection": id, "user": "ada"}));
    assert_eq!(get(&door, "/users/ada").await.json, json!({"user": "ada", "connections": [id]}));
    assert_eq!(get(&door, "/connections").await.json, json!({"connections": 2, "users": 2}));
}

#[tokio::test]
async fn batch_is_published_in_order_with_its_errors_named() {
    let door = start();
    let mut ada = connect(&door, "/api/ws/lobby").await;
    let batch = json!({"messages": [
        {"channel": "lobby", "text": "1"}, {"channel": "lobby"}, {"channel": "lobby", "text": "2"},
        {"connection": "ffffffff00000000", "text": "x"}, {"channel": "lobby", "text": "3"}]});
    let answer = post(&door, "/batch", batch).await;
    let statuses: Vec<_> =
        answer.json["results"].as_array().expect("results").iter().map(|each| each["status"].clone()).collect();
    assert_eq!(statuses, [200, 400, 200, 404, 200]);
    assert_eq!(answer.json["results"][1]["problem"]["errors"][0]["pointer"], "#/messages/1");
    for number in ["1", "2", "3"] {
        assert_eq!(ada.hear_json().await["data"], number);
    }
    assert_eq!(post(&door, "/batch", json!({"messages": []})).await.json, json!({"results": []}));
}

#[tokio::test]
async fn a_message_that_has_an_id_is_said_once() {
    let door = start();
    let mut ada = connect(&door, "/api/ws/lobby").await;
    let message = json!({"channel": "lobby", "text": "x", "id": "order-7"});
    let first = post(&door, "/publish", message.clone()).await;
    let second = post(&door, "/publish", message).await;
    assert_eq!(first.json, second.json);
    assert_eq!(ada.hear_json().await["data"], "x");
    ada.is_quiet().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_place() {
    let door = start();
    for (body, pointer) in [
        ("", "#"),
        ("nonsense", "#"),
        ("[]", "#"),
        (r#"{"channel": "a"}"#, "#"),
        (r#"{"text": "a"}"#, "#"),
        (r#"{"channel": "a", "user": "b", "text": "x"}"#, "#"),
        (r#"{"channel": 5, "text": "x"}"#, "#/channel"),
        (r#"{"channel": "\u0001", "text": "x"}"#, "#/channel"),
        (r#"{"channel": "a", "base64": "!"}"#, "#/base64"),
        (r#"{"channel": "a", "text": "x", "ttl": 5}"#, "#/ttl"),
        (r#"{"channel": "a", "text": "x", "except": [5]}"#, "#/except/0"),
    ] {
        let answer = call(&door, "POST", "/publish", body).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/problem+json"), "{body}");
        let pointers: Vec<_> =
            answer.json["errors"].as_array().expect("errors").iter().map(|each| each["pointer"].clone()).collect();
        assert!(pointers.contains(&json!(pointer)), "{body}: {}", answer.json);
        if let Ok(body) = serde_json::from_str(body) {
            let is_described = pointer == "#/base64" || pointer == "#/channel";
            assert!(
                is_described || !schema::faults_of_request("/publish", &body).is_empty(),
                "{body} is allowed by the description"
            );
        }
    }
    for body in
        [json!({"channel": "a", "text": "x", "volatile": true}), json!({"user": "a", "json": null, "name": "n"})]
    {
        assert_eq!(schema::faults_of_request("/publish", &body), Vec::<String>::new(), "{body}");
        assert_eq!(post(&door, "/publish", body).await.status, 200);
    }
}

#[tokio::test]
async fn what_a_channel_cannot_take_is_refused() {
    let config = format!(
        "{CONFIG}[[realtime.channel]]\nmatch = \"small\"\nmax_message = \"8B\"\n[api]\nmax_body = \"64KiB\"\nmax_batch = 2\nrate = 4\n"
    );
    let door = door().config(config).start();
    let long = post(&door, "/publish", json!({"channel": "small", "text": "123456789"})).await;
    assert_eq!((long.status, &long.json["type"]), (413, &json!("urn:doorway:problem:too-big")));
    let huge = post(&door, "/publish", json!({"channel": "a", "text": "x".repeat(70_000)})).await;
    assert_eq!(huge.status, 413);
    let many = json!({"messages": [1, 2, 3]});
    assert_eq!(post(&door, "/batch", many).await.status, 400);
    let form = call_with(&door, "PUT", "/publish", &[], "").await;
    assert_eq!((form.status, form.header("allow")), (405, "POST"));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(
            post(&door, "/batch", json!({"messages": [{"channel": "a", "text": "x"}, {"channel": "a", "text": "x"}]}))
                .await,
        );
    }
    let refused = statuses.iter().find(|answer| answer.status == 429).expect("the rate holds");
    assert!(refused.header("retry-after").parse::<u32>().expect("seconds") >= 1);
}

#[tokio::test]
async fn a_list_of_faults_ends() {
    let door = start();
    let fields: String = (0..5000).map(|number| format!(",\"field-{number}\":1")).collect();
    let answer = call(&door, "POST", "/publish", &format!("{{\"channel\":\"a\",\"text\":\"x\"{fields}}}")).await;
    let errors = answer.json["errors"].as_array().expect("errors");
    assert_eq!((answer.status, errors.len()), (400, 101), "{}", answer.json["detail"]);
    assert_eq!(errors[100], json!({ "pointer": "#", "detail": "has more faults than these 100" }));
}
