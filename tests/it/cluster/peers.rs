//! What belongs to another door is forwarded there: from any door, to a living one, and by nobody but doors.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{hears, text};
use crate::harness::client::{Answer, ask, get};
use crate::harness::redis::Redis;
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door, eventually};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// Doors that others can reach.
fn doors<const N: usize>(redis: &Redis) -> [Door; N] {
    let config = format!("[[realtime.socketio]]\nrecovery = \"2m\"\n{}peer = \"127.0.0.1:0\"\n", redis.config());
    let doors = [(); N].map(|()| door().config(config.clone()).start());
    for door in &doors {
        hears(door);
        door.wait_for_log(|line| line["message"] == "the other doors can reach this one");
    }
    doors
}

async fn poll(door: &Door, sid: &str) -> Answer {
    ask(door.http(), "GET", &format!("{POLLING}&sid={sid}"), &[("host", "localhost")], "").await
}

async fn post(door: &Door, sid: &str, packets: &'static str) -> Answer {
    ask(door.http(), "POST", &format!("{POLLING}&sid={sid}"), &[("host", "localhost")], packets).await
}

/// A session that polls, at this door.
async fn open(door: &Door) -> String {
    let answer = ask(door.http(), "GET", POLLING, &[("host", "localhost")], "").await;
    let said = whole(answer).await.1;
    text(&serde_json::from_str::<Value>(said.strip_prefix('0').unwrap()).unwrap()["sid"])
}

async fn whole(answer: Answer) -> (u16, String) {
    (answer.status, String::from_utf8(answer.bytes().await.to_vec()).unwrap())
}

async fn is_unknown(door: &Door, sid: &str) {
    let (status, said) = whole(poll(door, sid).await).await;
    assert_eq!((status, said.as_str()), (400, r#"{"code":1,"message":"Session ID unknown"}"#), "{sid}");
}

#[tokio::test]
async fn a_session_that_polls_is_reached_by_any_door() {
    let redis = Redis::start(&[]);
    let [one, two, three] = doors::<3>(&redis);
    let sid = open(&one).await;
    assert_eq!(whole(post(&two, &sid, "40").await).await, (200, "ok".to_owned()));
    let (status, said) = whole(poll(&three, &sid).await).await;
    assert!(status == 200 && said.starts_with("40{\"sid\":\""), "{status} {said}");
    // By a WebSocket at another door, too.
    let mut socket = connect(&two, &format!("{SOCKET}&sid={sid}")).await;
    socket.say("2probe").await;
    assert_eq!(socket.hear().await, "3probe");
    let reader = poll(&three, &sid).await;
    assert_eq!(whole(reader).await, (200, "6".to_owned()));
    socket.say("5").await;
    socket.say("420[\"join-room\",\"lobby\"]").await;
    assert!(socket.hear().await.starts_with("430["));
    assert_eq!(two.metric("peer_tunnels").await, 1.0);
    socket.close(1000).await;
    two.wait_for_metric("peer_tunnels", 0.0).await;
}

#[tokio::test]
async fn who_names_a_door_that_is_not_there_is_unknown() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let sid = open(&one).await;
    let (secret, home) = sid.split_once('.').unwrap();
    let other = open(&two).await;
    let elsewhere = other.split_once('.').unwrap().1;
    // Of another door, of none, or no name at all.
    for forged in
        [format!("{secret}.{elsewhere}"), format!("{secret}.0123456789abcdef"), format!("{secret}.x"), secret.into()]
    {
        is_unknown(&one, &forged).await;
        is_unknown(&two, &forged).await;
    }
    let guessed = format!("{}.{home}", other.split_once('.').unwrap().0);
    is_unknown(&two, &guessed).await;
    assert_eq!(whole(post(&two, &sid, "40").await).await.0, 200, "the right one still is");
}

#[tokio::test]
async fn what_was_at_a_dead_door_is_unknown_before_its_lease_is_over() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let sid = open(&one).await;
    assert_eq!(whole(post(&two, &sid, "40").await).await.0, 200);
    one.signal("KILL");
    // While it dies it may be asked still.
    eventually("its port is closed", async || whole(poll(&two, &sid).await).await.0 != 503).await;
    is_unknown(&two, &sid).await;
}

#[tokio::test]
async fn a_door_that_hangs_is_given_up_and_found_again() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let sid = open(&one).await;
    assert_eq!(whole(post(&two, &sid, "40").await).await.0, 200);
    one.signal("STOP");
    let (status, said) = whole(poll(&two, &sid).await).await;
    assert_eq!(status, 503, "{said}");
    one.signal("CONT");
    eventually("found again", async || whole(poll(&two, &sid).await).await.0 != 503).await;
}

/// A client of Socket.IO, in `/`.
struct Client {
    socket: Socket,
    sid: String,
    pid: String,
}

async fn client(door: &Door, auth: &str) -> Client {
    let mut socket = connect(door, SOCKET).await;
    assert!(socket.hear().await.starts_with("0{"));
    socket.say(&format!("40{auth}")).await;
    let welcome = socket.hear().await;
    let open: Value = serde_json::from_str(welcome.strip_prefix("40").unwrap_or_else(|| panic!("{welcome}"))).unwrap();
    Client { sid: text(&open["sid"]), pid: text(&open["pid"]), socket }
}

#[tokio::test]
async fn who_comes_back_to_another_door_is_who_it_was() {
    let redis = Redis::start(&[]);
    let [one, two, three] = doors::<3>(&redis);
    let first = client(&one, "").await;
    let mut speaker = client(&three, "").await;
    drop(first.socket);
    one.wait_for_metric("realtime_recovery_away", 1.0).await;
    speaker.socket.say("420[\"message\",{\"text\":\"missed\"}]").await;
    loop {
        if speaker.socket.hear().await.starts_with("430") {
            break;
        }
    }
    let auth = json!({ "pid": first.pid }).to_string();
    let mut back = client(&two, &auth).await;
    assert_eq!((&back.sid, &back.pid), (&first.sid, &first.pid));
    assert!(back.socket.hear().await.contains("\"missed\""), "what it missed");
    assert_eq!(two.metric("peer_tunnels").await, 1.0);
    // Its door dies, and it begins anew where it comes then.
    one.signal("KILL");
    back.socket.closed().await;
    let anew = client(&two, &auth).await;
    assert!(anew.sid != first.sid && anew.pid != first.pid);
}

#[tokio::test]
async fn nobody_but_a_living_door_is_let_in() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let address = one.address("peer");
    // No TLS, TLS without a certificate, and with one that no door has.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    assert_eq!(knock(address, false).await, b"");
    assert_eq!(knock(address, true).await, b"");
    one.wait_for_metric("peer_refused_total", 3.0).await;
    // Doors are.
    let sid = open(&one).await;
    assert_eq!(whole(post(&two, &sid, "40").await).await.0, 200);
    assert_eq!(one.metric("peer_refused_total").await, 3.0);
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_until_it_is_free() {
    let redis = Redis::start(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let one = door().config(format!("{}peer = \"{address}\"\n", redis.config())).start();
    let says = |door: &Door, what: String| {
        let admin = door.admin();
        async move {
            let answer = get(admin, "/health/ready", &[("host", "localhost")]).await;
            String::from_utf8(answer.bytes().await.to_vec()).unwrap().contains(&what)
        }
    };
    let what = format!("realtime.redis.peer: cannot listen on {address}");
    eventually("it is said", async || says(&one, what.clone()).await).await;
    drop(taken);
    one.wait_for_log(|line| line["message"] == "the other doors can reach this one");
    assert!(!says(&one, what).await);
}

/// What a stranger hears that speaks HTTP/2.
async fn knock(address: SocketAddr, shows: bool) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(["peer.doorway.internal".to_owned()]).unwrap().self_signed(&key).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = if shows {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder.with_client_auth_cert(vec![own.der().clone()], key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"doorway-peer/1".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("peer.doorway.internal").unwrap();
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else { return Vec::new() };
    let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    said
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
