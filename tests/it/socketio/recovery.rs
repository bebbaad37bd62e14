//! Promise: a client that lost its link is kept as long as the config says and no longer, within what it says; whatever
//! happens meanwhile, it comes back to all that it missed or begins anew, and never to a part of it.

use serde_json::{Value, json};

use crate::harness::app::App;
use crate::harness::client::ask;
use crate::harness::socket::{Socket, connect, connect_narrow, connect_to};
use crate::harness::{Door, door, response};

const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// A client in `/`, as the stock one keeps it in mind.
struct Client {
    socket: Socket,
    sid: String,
    pid: String,
    offset: Option<String>,
}

fn config(more: &str) -> String {
    format!("[[realtime.socketio]]\nrecovery = \"2m\"\n{more}\n")
}

fn start(more: &str) -> Door {
    door().config(config(more)).start()
}

/// A connection that says this first.
async fn arrive(mut socket: Socket, auth: &str) -> Client {
    assert!(socket.hear().await.starts_with("0{"));
    socket.say(&format!("40{auth}")).await;
    let (sid, pid) = welcome(&socket.hear().await);
    Client { socket, sid, pid, offset: None }
}

fn welcome(text: &str) -> (String, String) {
    let open: Value = serde_json::from_str(text.strip_prefix("40").unwrap_or_else(|| panic!("{text}"))).expect("JSON");
    let text = |key: &str| open[key].as_str().expect("a text").to_owned();
    (text("sid"), text("pid"))
}

async fn client(door: &Door) -> Client {
    arrive(connect(door, SOCKET).await, "").await
}

impl Client {
    /// The next event: its first argument.
    async fn hear(&mut self) -> Value {
        loop {
            let text = self.socket.hear().await;
            if text == "2" {
                self.socket.say("3").await;
                continue;
            }
            let array = text.strip_prefix("42").unwrap_or_else(|| panic!("{text}"));
            let array: Vec<Value> = serde_json::from_str(array).unwrap_or_else(|error| panic!("{error}: {text}"));
            self.offset = array.last().and_then(Value::as_str).map(Into::into).or(self.offset.take());
            return array[1].clone();
        }
    }

    async fn hears(&mut self, all: &[u64]) {
        for number in all {
            assert_eq!(self.hear().await, json!(number));
        }
    }

    /// Its link breaks, and the door knows.
    async fn lose(self, door: &Door) -> Lost {
        let before = door.metric("realtime_recovery_kept_total").await;
        let Client { socket, sid, pid, offset } = self;
        drop(socket);
        door.wait_for_metric("realtime_recovery_kept_total", before + 1.0).await;
        Lost { sid, pid, offset }
    }
}

/// One without a link.
struct Lost {
    sid: String,
    pid: String,
    offset: Option<String>,
}

impl Lost {
    fn auth(&self) -> String {
        json!({ "pid": self.pid, "offset": self.offset }).to_string()
    }

    /// It has its id again.
    async fn recovers(self, door: &Door) -> Client {
        let back = arrive(connect(door, SOCKET).await, &self.auth()).await;
        assert_eq!((&back.sid, &back.pid), (&self.sid, &self.pid), "it is who it was");
        Client { offset: self.offset, ..back }
    }

    /// It is somebody else.
    async fn begins_anew(self, door: &Door) -> Client {
        let back = arrive(connect(door, SOCKET).await, &self.auth()).await;
        assert!(back.sid != self.sid && back.pid != self.pid, "nobody waited for it");
        back
    }
}

async fn emit(door: &Door, body: Value) -> (u16, Value) {
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let answer = ask(door.admin(), "POST", "/_doorway/api/v1/emit", &headers, body.to_string()).await;
    (answer.status, serde_json::from_slice(&answer.bytes().await).expect("JSON"))
}

/// To everyone, or to this one alone.
async fn tell(door: &Door, to: Option<&str>, number: u64, filler: usize) {
    let mut body = json!({ "name": "e", "args": [number, "x".repeat(filler)] });
    if let Some(to) = to {
        body["to"] = to.into();
    }
    assert_eq!(emit(door, body).await.0, 200);
}

fn reload(door: &Door, config: &str) {
    door.rewrite(config);
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"].as_str().is_some_and(|message| message.contains("reloaded")));
}

#[tokio::test]
async fn other_settings_meanwhile_change_nothing_for_it() {
    let door = start("");
    let mut client = client(&door).await;
    tell(&door, None, 1, 0).await;
    client.hears(&[1]).await;
    let lost = client.lose(&door).await;
    reload(&door, &config("ping_interval = \"9s\"\nrecovery_messages = 5"));
    tell(&door, None, 2, 0).await;
    let mut back = lost.recovers(&door).await;
    tell(&door, Some(&back.sid), 3, 0).await;
    back.hears(&[2, 3]).await;
}

#[tokio::test]
async fn where_it_is_switched_off_meanwhile_it_begins_anew() {
    let door = start("");
    let lost = client(&door).await.lose(&door).await;
    reload(&door, "[[realtime.socketio]]\nrecovery = \"off\"\n");
    let mut socket = connect(&door, SOCKET).await;
    socket.hear().await;
    socket.say(&format!("40{}", lost.auth())).await;
    let text = socket.hear().await;
    assert!(!text.contains(&lost.sid) && !text.contains("pid"), "{text}");
}

#[tokio::test]
async fn what_came_of_it_is_counted() {
    let door = start("");
    let mut client = client(&door).await;
    tell(&door, None, 1, 0).await;
    client.hears(&[1]).await;
    let lost = client.lose(&door).await;
    door.wait_for_metric("realtime_recovery_away", 1.0).await;
    tell(&door, None, 2, 0).await;
    tell(&door, None, 3, 0).await;
    let mut back = lost.recovers(&door).await;
    back.hears(&[2, 3]).await;
    for (name, value) in [
        ("realtime_recovery_away", 0.0),
        ("realtime_recovery_kept_total", 1.0),
        ("realtime_recovery_returned_total", 1.0),
        ("realtime_recovery_full_total", 0.0),
        ("realtime_socketio_recoveries_total{outcome=\"recovered\"}", 1.0),
        ("realtime_socketio_recovered_events_total", 2.0),
        ("realtime_socketio_recoveries_total{outcome=\"unknown\"}", 0.0),
        ("realtime_socketio_recoveries_total{outcome=\"expired\"}", 0.0),
    ] {
        door.wait_for_metric(name, value).await;
    }
    assert!(door.metric("realtime_socketio_recovery_bytes").await > 0.0);
    let forged = Lost { offset: Some("7-7".into()), ..back.lose(&door).await };
    let client = forged.begins_anew(&door).await;
    door.wait_for_metric("realtime_socketio_recoveries_total{outcome=\"unknown\"}", 1.0).await;
    client.socket.close(1000).await;
    door.wait_for_metric("hub_connections", 1.0).await;
    door.wait_for_metric("realtime_recovery_away", 1.0).await;
}

#[tokio::test]
async fn lost_client_is_forgotten_and_frees_what_it_held() {
    let door = door().config("[[realtime.socketio]]\nrecovery = \"300ms\"\n").start();
    let client = client(&door).await;
    tell(&door, None, 1, 1000).await;
    let lost = client.lose(&door).await;
    door.wait_for_metric("realtime_socketio_recoveries_total{outcome=\"expired\"}", 1.0).await;
    for name in ["hub_connections", "realtime_recovery_away", "realtime_socketio_recovery_bytes"] {
        door.wait_for_metric(name, 0.0).await;
    }
    lost.begins_anew(&door).await;
}

/// It waits for its client, and holds no connection of it: whoever closes in good order is closed to at once.
#[tokio::test]
async fn a_link_that_is_closed_is_closed_here_too() {
    use tokio_tungstenite::tungstenite::Message;
    let door = start("");
    let Client { mut socket, sid, pid, offset } = client(&door).await;
    socket.send(Message::Close(None)).await;
    // The door closes the connection first (RFC 6455 section 7.1.1): this ends long before the recovery's two minutes.
    while let Some(Ok(_)) = socket.frame().await {}
    door.wait_for_metric("realtime_recovery_kept_total", 1.0).await;
    Lost { sid, pid, offset }.recovers(&door).await;
}

/// Whose link ends by the rules of engine.io is told so before it is cut, and waited for.
#[tokio::test]
async fn a_link_that_ends_itself_has_its_last_words() {
    use tokio_tungstenite::tungstenite::Message;
    let door = start("");
    let Client { mut socket, sid, pid, offset } = client(&door).await;
    // Its close.
    socket.say("1").await;
    let said = socket.message().await;
    assert!(matches!(said, Message::Close(_)), "{said:?}");
    door.wait_for_metric("realtime_recovery_kept_total", 1.0).await;
    Lost { sid, pid, offset }.recovers(&door).await;
}

#[tokio::test]
async fn with_too_many_away_the_first_is_forgotten() {
    // One address has half of them.
    let door = start("recovery_clients = 4");
    let mut lost = Vec::new();
    for _ in 0..4 {
        lost.push(client(&door).await.lose(&door).await);
    }
    door.wait_for_metric("hub_connections", 2.0).await;
    door.wait_for_metric("realtime_recovery_away", 2.0).await;
    door.wait_for_metric("realtime_recovery_full_total", 2.0).await;
    tell(&door, None, 1, 0).await;
    let mut later = lost.split_off(2);
    let mut anew = Vec::new();
    for lost in lost {
        anew.push(lost.begins_anew(&door).await);
    }
    later.pop().unwrap().recovers(&door).await.hears(&[1]).await;
}

#[tokio::test]
async fn with_too_much_kept_the_first_is_forgotten() {
    // One address has a half of it.
    let door = start("recovery_bytes_total = \"128KiB\"");
    let first = client(&door).await.lose(&door).await;
    let second = client(&door).await.lose(&door).await;
    // What both are told counts once.
    for number in 0..2 {
        tell(&door, None, number, 20_000).await;
    }
    door.wait_for_metric("realtime_recovery_full_total", 0.0).await;
    for number in 2..6 {
        tell(&door, Some(&second.sid), number, 6000).await;
    }
    door.wait_for_metric("realtime_recovery_full_total", 1.0).await;
    let held = door.metric("realtime_socketio_recovery_bytes").await;
    assert!(held > 50_000.0 && held <= 65_536.0, "{held}");
    second.recovers(&door).await.hears(&[0, 1, 2, 3, 4, 5]).await;
    first.begins_anew(&door).await;
}

#[tokio::test]
async fn where_nobody_is_away_to_give_way_nothing_more_is_kept() {
    let door = start("recovery_bytes_total = \"64KiB\"\nrecovery_bytes = \"10MiB\"");
    let mut client = client(&door).await;
    for number in 0..10 {
        tell(&door, Some(&client.sid), number, 10_000).await;
        client.hears(&[number]).await;
        let held = door.metric("realtime_socketio_recovery_bytes").await;
        assert!(held <= 65_536.0, "{held}");
    }
    let mut back = client.lose(&door).await.recovers(&door).await;
    tell(&door, Some(&back.sid), 10, 0).await;
    back.hears(&[10]).await;
    // But what is not kept is not passed over.
    let lost = back.lose(&door).await;
    for number in 11..20 {
        tell(&door, Some(&lost.sid), number, 10_000).await;
    }
    lost.begins_anew(&door).await;
}

#[tokio::test]
async fn two_that_come_as_the_same_leave_one() {
    let door = start("");
    let lost = client(&door).await.lose(&door).await;
    let mut twins = Vec::new();
    for _ in 0..2 {
        let mut socket = connect(&door, SOCKET).await;
        socket.hear().await;
        socket.say(&format!("40{}", lost.auth())).await;
        twins.push(socket);
    }
    door.wait_for_metric("realtime_recovery_returned_total", 2.0).await;
    door.wait_for_metric("hub_connections", 1.0).await;
    tell(&door, None, 1, 0).await;
    let (mut heard, mut closed) = (0, 0);
    for mut socket in twins {
        loop {
            match socket.frame().await {
                Some(Ok(message)) if message.is_text() => {
                    let text = message.to_text().expect("a text");
                    assert!(text.starts_with("42[\"e\",1") || text.contains(&lost.sid), "{text}");
                    if text.starts_with("42") {
                        heard += 1;
                        break;
                    }
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => {
                    closed += 1;
                    break;
                }
            }
        }
    }
    assert_eq!((heard, closed), (1, 1));
}

/// The stock client's `disconnect().connect()`, where something else keeps the old link open.
#[tokio::test]
async fn who_left_its_namespace_begins_anew_and_its_old_link_goes_on() {
    let door = start("namespaces = [\"/\", \"/chat\"]");
    for keeps_another in [false, true] {
        let mut old = client(&door).await;
        if keeps_another {
            old.socket.say("40/chat,").await;
            assert!(old.socket.hear().await.starts_with("40/chat,{"));
        }
        old.socket.say("41").await;
        let Client { mut socket, sid, pid, .. } = old;
        let back = arrive(connect(&door, SOCKET).await, &json!({ "pid": pid }).to_string()).await;
        assert!(back.sid != sid && back.pid != pid, "nobody was away");
        if keeps_another {
            let body = json!({ "name": "e", "args": [7], "namespace": "/chat" });
            assert_eq!(emit(&door, body).await.0, 200);
            assert!(socket.hear().await.starts_with("42/chat,[\"e\",7"));
        }
        socket.say("40").await;
        assert!(welcome(&socket.hear().await).0 != sid);
        let lost = back.lose(&door).await;
        lost.recovers(&door).await;
    }
}

#[tokio::test]
async fn whoever_asks_everyone_does_not_wait_for_one_that_is_away() {
    let door = start("");
    let mut here = client(&door).await;
    let lost = client(&door).await.lose(&door).await;
    for to in [Value::Null, json!(lost.sid)] {
        let mut body = json!({ "name": "ready?", "serverTimeout": 300_000 });
        if !to.is_null() {
            body["to"] = to.clone();
        }
        let address = door.admin();
        let asked = tokio::spawn(async move {
            let headers = [("host", "localhost"), ("content-type", "application/json")];
            let answer = ask(address, "POST", "/_doorway/api/v1/emit", &headers, body.to_string()).await;
            (answer.status, serde_json::from_slice::<Value>(&answer.bytes().await).expect("JSON"))
        });
        if to.is_null() {
            let text = here.socket.hear().await;
            let number = text.trim_start_matches("42").split('[').next().expect("a number").to_owned();
            here.socket.say(&format!("43{number}[\"yes\"]")).await;
        }
        let (status, json) = asked.await.unwrap();
        assert_eq!((status, json["results"].as_array().unwrap().len()), (200, usize::from(to.is_null())), "{json}");
    }
    tell(&door, None, 1, 0).await;
    lost.recovers(&door).await.hears(&[1]).await;
}

#[tokio::test]
async fn presence_does_not_wait_for_it() {
    let channel = "[[realtime.channel]]\nmatch = \"lobby\"\npresence = \"all\"\npresence_grace = \"0s\"\n";
    let door = start(channel);
    let mut watcher = connect(&door, "/api/ws/lobby").await;
    assert_eq!(watcher.hear_json().await["members"].as_array().unwrap().len(), 1);
    let mut client = client(&door).await;
    client.socket.say("421[\"join-room\",\"lobby\"]").await;
    while !client.socket.hear().await.starts_with("431") {}
    let mut told = Vec::new();
    let mut next = async |watcher: &mut Socket| loop {
        let said = watcher.hear_json().await;
        if said["type"] != "broadcast" {
            told.push(said["member"].clone());
            return said["type"].as_str().unwrap().to_owned();
        }
    };
    assert_eq!(next(&mut watcher).await, "join");
    let lost = client.lose(&door).await;
    assert_eq!(next(&mut watcher).await, "leave");
    let _back = lost.recovers(&door).await;
    assert_eq!(next(&mut watcher).await, "join");
    assert!(told.iter().all(|member| *member == told[0]), "{told:?}");
}

#[tokio::test]
async fn within_the_grace_presence_does_not_notice() {
    let channel = "[[realtime.channel]]\nmatch = \"lobby\"\npresence = \"all\"\npresence_grace = \"1h\"\n";
    let door = start(channel);
    let mut client = client(&door).await;
    client.socket.say("421[\"join-room\",\"lobby\"]").await;
    while !client.socket.hear().await.starts_with("431") {}
    let mut watcher = connect(&door, "/api/ws/lobby").await;
    assert_eq!(watcher.hear_json().await["members"].as_array().unwrap().len(), 2);
    let _back = client.lose(&door).await.recovers(&door).await;
    watcher.is_quiet().await;
}

#[tokio::test]
async fn who_reads_too_slowly_begins_anew() {
    // Where the latest is all that counts ("keep-latest"), nothing is missed.
    for slow in ["disconnect", "drop-oldest"] {
        let channel =
            format!("[[realtime.channel]]\nmatch = \"/\"\nslow = \"{slow}\"\n[realtime.outbox]\nmessages = 20\n");
        let door = start(&format!("recovery_bytes = \"100MiB\"\n{channel}"));
        let mut client = arrive(connect_narrow(&door, SOCKET).await, "").await;
        tell(&door, None, 0, 0).await;
        client.hears(&[0]).await;
        // More than the system's buffers hold: some of it has nowhere to wait.
        for number in 1..=600 {
            tell(&door, None, number, 60_000).await;
        }
        let Client { socket, sid, pid, offset } = client;
        drop(socket);
        if slow == "disconnect" {
            door.wait_for_metric("hub_connections", 0.0).await;
        } else {
            door.wait_for_metric("realtime_recovery_kept_total", 1.0).await;
        }
        Lost { sid, pid, offset }.begins_anew(&door).await;
    }
}

/// An app that lets everybody in, and answers with what `judge` says of a question.
async fn app(judge: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static) -> App {
    App::start(move |request| {
        let judge = judge.clone();
        async move {
            use http_body_util::BodyExt;
            let cookie = request.headers().get("cookie").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let mut question: Value = serde_json::from_slice(&body).unwrap_or_default();
            question["cookie"] = json!(cookie);
            response(200, judge(&question).to_string())
        }
    })
    .await
}

/// As with the Node server: who shows the secret is the client. The app is asked with what it knows of both.
#[tokio::test]
async fn the_app_says_whether_another_user_may_take_its_place() {
    let app = app(|question| {
        let (user, data) = (&question["cookie"], &question["data"]);
        let was = &data["client"]["user"];
        if data["recovered"] == true && was != user && user == "eve" {
            return json!({ "allow": false, "reason": format!("you are not {was}") });
        }
        json!({ "user": user })
    })
    .await;
    let callbacks = "[callbacks]\nevents = [\"connect\"]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    let door = door().config(format!("{}{callbacks}{}", app.config(), config(""))).start();
    let enter = async |user: &str, auth: &str| {
        let mut socket = connect_to(door.http(), SOCKET, &[("cookie", user)]).await.expect("a socket");
        assert!(socket.hear().await.starts_with("0{"));
        socket.say(&format!("40{auth}")).await;
        let text = socket.hear().await;
        (socket, text)
    };
    let users = async |user: &str| {
        let answer = crate::harness::client::get(
            door.admin(),
            &format!("/_doorway/api/v1/users/{user}"),
            &[("host", "localhost")],
        )
        .await;
        serde_json::from_slice::<Value>(&answer.bytes().await).expect("JSON")["connections"]
            .as_array()
            .map_or(0, Vec::len)
    };
    let (socket, text) = enter("ada", "").await;
    let (sid, pid) = welcome(&text);
    assert_eq!(users("ada").await, 1);
    let lost = Client { socket, sid: sid.clone(), pid, offset: None }.lose(&door).await;
    // Who may, is known as who it is now.
    let (socket, text) = enter("bob", &lost.auth()).await;
    assert_eq!(welcome(&text).0, sid);
    assert_eq!((users("ada").await, users("bob").await), (0, 1));
    let lost = Client { socket, sid, pid: lost.pid, offset: None }.lose(&door).await;
    // Who may not, is refused, and nobody comes back to it any more.
    let (socket, text) = enter("eve", &lost.auth()).await;
    assert!(text.starts_with("44") && text.contains("you are not"), "{text}");
    drop(socket);
    door.wait_for_metric("hub_connections", 0.0).await;
    let (_socket, text) = enter("bob", &lost.auth()).await;
    assert_ne!(welcome(&text).0, lost.sid);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_client_only() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    const SECRET: &str = "a secret of at least thirty-two bytes";
    let token = |user: &str| {
        let claims = json!({ "sub": user, "exp": 4_000_000_000_u64 });
        encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
    };
    let door = start(&format!("[realtime.tokens]\nsecret = \"{SECRET}\"\nrequired = true\n"));
    let enter = async |user: &str, auth: &str| {
        let socket = connect(&door, &format!("{SOCKET}&token={}", token(user))).await;
        arrive(socket, auth).await
    };
    let lost = enter("ada", "").await.lose(&door).await;
    tell(&door, Some(&lost.sid), 1, 0).await;
    let other = enter("eve", &lost.auth()).await;
    assert_ne!(other.sid, lost.sid, "she is herself");
    let mut back = enter("ada", &lost.auth()).await;
    assert_eq!(back.sid, lost.sid, "and nothing of it is lost to who it was");
    back.hears(&[1]).await;
}
