//! Promise: clients of every decent kind come in by TLS, agree on what they should, and others are told why not.

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::certificate::Authority;
use crate::harness::secure::{self, Client};
use crate::harness::{App, Door, PATIENCE, door, wire};

struct Site {
    door: Door,
    authority: Authority,
    _app: App,
}

/// A door for `site.test` with more lines for `[tls]`; `authority.pem` lies beside its config.
async fn site(tls: &str) -> Site {
    let app = App::saying("hello").await;
    let authority = Authority::new();
    let builder = door();
    let files = authority.issue(&["site.test"]).write(builder.folder(), "site");
    std::fs::write(builder.folder().join("authority.pem"), &authority.pem).unwrap();
    let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{tls}\n{}{}", files.keys(), app.config());
    Site { door: builder.config(config).start(), authority, _app: app }
}

impl Site {
    fn address(&self) -> SocketAddr {
        self.door.https()
    }

    /// Runs a program with `ADDRESS`, `PORT` and `AUTHORITY` filled in.
    async fn run(&self, command: &str) -> Output {
        let authority = self.door.folder().join("authority.pem");
        let words = command.split_whitespace().map(|word| {
            word.replace("ADDRESS", &self.address().to_string())
                .replace("PORT", &self.address().port().to_string())
                .replace("AUTHORITY", &authority.to_string_lossy())
        });
        let mut words = words.collect::<Vec<_>>().into_iter();
        let mut command = tokio::process::Command::new(words.next().unwrap());
        command.args(words).stdin(std::process::Stdio::null()).kill_on_drop(true);
        timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn curl_comes_in_by_http_1_and_2() {
    let site = site("").await;
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2"), ("--tlsv1.2", "2"), ("--tlsv1.3", "2")] {
        let output = site
            .run(&format!(
                "curl -sS {flag} --cacert AUTHORITY --resolve site.test:PORT:127.0.0.1 -w |%{{http_version}} https://site.test:PORT/"
            ))
            .await;
        assert_eq!(said(&output), format!("hello|{version}"), "{flag}");
    }
}

#[tokio::test]
async fn openssl_agrees_on_both_versions_and_on_nothing_older() {
    let site = site("").await;
    let connect =
        "openssl s_client -connect ADDRESS -servername site.test -CAfile AUTHORITY -verify_return_error -brief";
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let output = said(&site.run(&format!("{connect} {flag}")).await);
        assert!(output.contains(&format!("Protocol version: {version}")), "{output}");
        assert!(output.contains("Verification: OK"), "{output}");
    }
    let output = site.run(&format!("{connect} -tls1_1 -cipher DEFAULT:@SECLEVEL=0")).await;
    assert!(!output.status.success() && said(&output).contains("SSL alert number"), "{}", said(&output));
    site.door.wait_for_metric("tls_handshake_failures_total{reason=\"disagreement\"}", 1.0).await;
}

#[tokio::test]
async fn the_application_protocol_is_agreed() {
    let site = site("").await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let client = Client::with(&site.authority, offered, rustls::ALL_VERSIONS);
        let stream = client.connect(site.address(), "site.test").await;
        let found = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(found.as_deref(), agreed, "{offered:?}");
    }
    let strange = Client::with(&site.authority, &["gopher"], rustls::ALL_VERSIONS);
    assert!(strange.try_connect(site.address(), "site.test").await.is_err());
}

#[tokio::test]
async fn the_oldest_version_can_be_raised() {
    let site = site("min_version = \"1.3\"").await;
    let old = Client::with(&site.authority, &[], &[&rustls::version::TLS12]);
    assert!(old.try_connect(site.address(), "site.test").await.is_err());
    let new = Client::with(&site.authority, &[], &[&rustls::version::TLS13]);
    let mut stream = new.connect(site.address(), "site.test").await;
    assert!(secure::get(&mut stream, "site.test").await.contains("hello"));
}

#[tokio::test]
async fn sessions_are_resumed_with_both_versions_and_over_a_reload() {
    let site = site("").await;
    for (version, name, label) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2, "1.2"),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3, "1.3"),
    ] {
        let client = Client::with(&site.authority, &["http/1.1"], &[version]);
        let mut kinds = Vec::new();
        for turn in 0..3 {
            let mut stream = client.connect(site.address(), "site.test").await;
            // Tickets of TLS 1.3 come after the handshake.
            secure::get(&mut stream, "site.test").await;
            assert_eq!(stream.get_ref().1.protocol_version(), Some(name));
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            if turn == 1 {
                let loads = site.door.metric("tls_certificate_loads_total{outcome=\"taken\"}").await;
                site.door.signal("HUP");
                site.door.wait_for_metric("tls_certificate_loads_total{outcome=\"taken\"}", loads + 1.0).await;
            }
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed], "{label}");
        let done = async |resumed: &str| {
            let metric = format!("tls_handshakes_total{{version=\"{label}\",resumed=\"{resumed}\"}}");
            site.door.metric(&metric).await
        };
        assert_eq!((done("no").await, done("yes").await), (1.0, 2.0));
    }
}

#[tokio::test]
async fn early_data_is_not_offered() {
    let site = site("").await;
    let client = Client::eager(&site.authority);
    for _ in 0..2 {
        let mut stream = client.connect(site.address(), "site.test").await;
        secure::get(&mut stream, "site.test").await;
    }
    assert!(!client.may_send_early("site.test"), "a ticket allows early data");
}

#[tokio::test]
async fn plain_http_on_this_port_is_told_where_it_is() {
    let site = site("").await;
    let answer = wire::exchange(site.address(), "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 400);
    assert!(answer.contains("This port speaks https"), "{answer}");
    let large = format!("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    assert_eq!(wire::status(&wire::exchange(site.address(), large).await), 400);
    site.door.wait_for_metric("tls_handshake_failures_total{reason=\"plain_http\"}", 2.0).await;
}

#[tokio::test]
async fn nonsense_is_closed_and_counted() {
    let site = site("").await;
    wire::exchange(site.address(), [0_u8, 1, 2, 3]).await;
    site.door.wait_for_metric("tls_handshake_failures_total{reason=\"not_tls\"}", 1.0).await;
    // Says that it is a handshake, and is none.
    wire::exchange(site.address(), [&[22_u8, 3, 1, 0, 5][..], &[9; 5]].concat()).await;
    site.door.wait_for_metric("tls_handshake_failures_total{reason=\"disagreement\"}", 1.0).await;
    drop(TcpStream::connect(site.address()).await.unwrap());
    site.door.wait_for_metric("tls_handshake_failures_total{reason=\"gone\"}", 1.0).await;
    // A client that does not know the authority says so.
    let stranger = Client::new(&Authority::new());
    assert!(stranger.try_connect(site.address(), "site.test").await.is_err());
    site.door.wait_for_metric("tls_handshake_failures_total{reason=\"refused_by_client\"}", 1.0).await;
}

#[tokio::test]
async fn slow_clients_are_given_up_and_hold_nobody_back() {
    let site = site("handshake_timeout = \"1s\"\nmax_handshakes = 1").await;
    let mut silent = TcpStream::connect(site.address()).await.unwrap();
    let mut halting = TcpStream::connect(site.address()).await.unwrap();
    halting.write_all(&secure::hello()).await.unwrap();
    site.door.wait_for_metric("tls_handshakes_under_way", 1.0).await;
    let begun = Instant::now();
    for stream in [&mut silent, &mut halting] {
        let mut nothing = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut nothing)).await.expect("closed in time");
        assert!(read.is_ok() || nothing.is_empty());
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    site.door.wait_for_metric("tls_handshake_failures_total{reason=\"timeout\"}", 2.0).await;
    // The slot is free again, and was never needed by one that said nothing.
    Client::new(&site.authority).connect(site.address(), "site.test").await;
}

#[tokio::test]
async fn more_handshakes_than_slots_wait_in_line() {
    let site = site("max_handshakes = 1").await;
    let mut halting = TcpStream::connect(site.address()).await.unwrap();
    halting.write_all(&secure::hello()).await.unwrap();
    site.door.wait_for_metric("tls_handshakes_under_way", 1.0).await;
    let (client, address) = (Client::new(&site.authority), site.address());
    let waiting = tokio::spawn(async move { client.connect(address, "site.test").await });
    site.door.wait_for_metric("connections_open", 2.0).await;
    assert!(!waiting.is_finished());
    drop(halting);
    timeout(PATIENCE, waiting).await.expect("its turn comes").unwrap();
}
