//! Conversations with rustls's own client, over real sockets.

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::io::{Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::certificates::Certificates;
use super::super::self_signed;
use super::*;

/// A server's end and a client's end that have shaken hands.
async fn pair(version: &'static SupportedProtocolVersion) -> (TlsStream, Client) {
    let identity = self_signed::make(&[], std::time::SystemTime::now()).unwrap().identity;
    let mut roots = RootCertStore::empty();
    roots.add(identity.certified.cert[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates::new(vec![identity]).unwrap()));
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = tokio::task::spawn_blocking(move || {
        let tcp = std::net::TcpStream::connect(address).unwrap();
        let name = ServerName::try_from("LocalHost").unwrap();
        let mut client = Client { tcp, tls: ClientConnection::new(Arc::new(client), name).unwrap() };
        client.tls.complete_io(&mut client.tcp).unwrap();
        client
    });
    let (tcp, _) = listener.accept().await.unwrap();
    let (stream, name) = TlsStream::accept(tcp, Arc::new(server)).await.unwrap();
    assert_eq!(name.as_deref(), Some("localhost"));
    assert_eq!(stream.agreed().protocol_version(), Some(version.version));
    (stream, client.await.unwrap())
}

/// Blocking, on a thread of its own: as unlike the server's end as can be.
struct Client {
    tcp: std::net::TcpStream,
    tls: ClientConnection,
}

impl Client {
    fn on<R: Send + 'static>(mut self, act: impl FnOnce(&mut Client) -> R + Send + 'static) -> Acting<R> {
        tokio::task::spawn_blocking(move || {
            let outcome = act(&mut self);
            (self, outcome)
        })
    }

    fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.send();
    }

    fn send(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp).unwrap();
        }
    }

    fn hear(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        rustls::Stream::new(&mut self.tls, &mut self.tcp).read_exact(&mut bytes).unwrap();
        bytes
    }

    /// What is encrypted and not sent yet.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }
}

type Acting<R> = tokio::task::JoinHandle<(Client, R)>;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 7 + place / 251) as u8).collect()
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(120), future).await.expect("in time") })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bytes_arrive_whole_in_order_and_both_ways(
        is_old in any::<bool>(),
        writes in prop::collection::vec(1_usize..100_000, 1..12),
        fragment in prop::option::of(64_usize..5000),
        reads in 1_usize..70_000,
        gathered in any::<bool>(),
    ) {
        run(async {
            let (mut stream, mut client) = pair(if is_old { &TLS12 } else { &TLS13 }).await;
            let total: usize = writes.iter().sum();
            let expected = pattern(total);
            client.tls.set_buffer_limit(None);
            let said = expected.clone();
            let pieces = writes.clone();
            let client = client.on(move |client| {
                let mut rest = &said[..];
                for length in pieces {
                    let (piece, after) = rest.split_at(length);
                    for fragment in piece.chunks(fragment.unwrap_or(length)) {
                        client.say(fragment);
                    }
                    rest = after;
                }
                client.hear(total)
            });
            let mut heard = Vec::new();
            let mut buffer = vec![0; reads];
            while heard.len() < total {
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(length > 0);
                heard.extend_from_slice(&buffer[..length]);
            }
            assert!(heard == expected);
            let mut rest = &expected[..];
            for length in writes {
                let (mut piece, after) = rest.split_at(length);
                rest = after;
                while !piece.is_empty() {
                    let (head, tail) = piece.split_at(piece.len() / 3);
                    let slices = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)];
                    let written =
                        if gathered { stream.write_vectored(&slices).await } else { stream.write(piece).await }.unwrap();
                    piece = &piece[written..];
                }
            }
            stream.flush().await.unwrap();
            assert!(client.await.unwrap().1 == expected);
            assert_eq!((stream.received.capacity(), stream.unsent.capacity()), (0, 0), "it is idle");
        });
    }
}

#[test]
fn records_may_come_byte_by_byte() {
    run(async {
        let (mut stream, mut client) = pair(&TLS13).await;
        client.tls.writer().write_all(&pattern(300)).unwrap();
        client.tls.writer().write_all(b"").unwrap();
        client.tcp.set_nodelay(true).unwrap();
        let client = client.on(|client| {
            for byte in client.records() {
                client.tcp.write_all(&[byte]).unwrap();
            }
        });
        let mut heard = [0; 300];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard[..], pattern(300));
        client.await.unwrap();
        assert_eq!(stream.received.capacity(), 0);
    });
}

#[test]
fn what_was_sent_together_is_read_in_pieces_while_it_is_written() {
    run(async {
        let (mut stream, mut client) = pair(&TLS13).await;
        client.say(&pattern(1000));
        client.say(&pattern(2000));
        let mut heard = [0; 10];
        stream.read_exact(&mut heard).await.unwrap();
        // The records that wait are worked on before anything can be encrypted, and nothing of them is lost.
        stream.write_all(b"meanwhile").await.unwrap();
        let client = client.on(|client| client.hear(9));
        assert_eq!(client.await.unwrap().1, b"meanwhile");
        let mut rest = [0; 2990];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest[..990], pattern(1000)[10..]);
        assert_eq!(rest[990..], pattern(2000));
    });
}

#[test]
fn the_client_changes_its_keys_and_asks_for_ours() {
    run(async {
        let (mut stream, mut client) = pair(&TLS13).await;
        for round in 0..3 {
            client.say(b"before");
            client.tls.refresh_traffic_keys().unwrap();
            client.say(b"after");
            let mut heard = [0; 11];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"beforeafter", "{round}");
            stream.write_all(b"answer").await.unwrap();
            let (back, answer) = client.on(|client| client.hear(6)).await.unwrap();
            assert_eq!(answer, b"answer");
            client = back;
        }
    });
}

#[test]
fn a_good_bye_is_an_end_and_the_other_side_may_go_on() {
    run(async {
        let (mut stream, mut client) = pair(&TLS13).await;
        client.say(b"last words");
        client.tls.send_close_notify();
        client.send();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        stream.write_all(b"and ours").await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(stream.write_all(b"more").await.is_err(), "after its own good-bye it says nothing");
        let heard = client.on(|client| {
            let mut heard = Vec::new();
            rustls::Stream::new(&mut client.tls, &mut client.tcp).read_to_end(&mut heard).unwrap();
            heard
        });
        assert_eq!(heard.await.unwrap().1, b"and ours");
    });
}

#[test]
fn without_a_good_bye_it_is_cut_short() {
    run(async {
        let (mut stream, mut client) = pair(&TLS13).await;
        client.say(b"words");
        client.tcp.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        let error = stream.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(heard, b"words");
    });
}

#[test]
fn what_was_tampered_with_is_refused_with_an_alert() {
    for version in [&TLS12, &TLS13] {
        run(async {
            let (mut stream, mut client) = pair(version).await;
            client.tls.writer().write_all(b"good").unwrap();
            let mut records = client.records();
            *records.last_mut().unwrap() ^= 1;
            client.tcp.write_all(&records).unwrap();
            let error = stream.read(&mut [0; 10]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(stream.read(&mut [0; 10]).await.is_err(), "and stays so");
            assert!(stream.write(b"more").await.is_err());
            let heard = client.on(|client| {
                let mut stream = rustls::Stream::new(&mut client.tls, &mut client.tcp);
                stream.read(&mut [0; 10]).unwrap_err().to_string()
            });
            let heard = heard.await.unwrap().1;
            assert!(heard.contains("BadRecordMac"), "{heard}");
        });
    }
}

#[test]
fn what_is_no_tls_or_too_much_of_it_is_refused() {
    // A handshake message of more than 64 KiB; one of them in records of a byte each; nothing of a handshake at all.
    let long = [&[22, 3, 1, 0x40, 0, 1, 1, 0, 0][..], &[0; 0x4000 - 4]].concat();
    let tiny: Vec<u8> =
        [1, 0, 0xff, 0xf0].into_iter().chain([0; 60_000]).flat_map(|byte| [22, 3, 1, 0, 1, byte]).collect();
    for bytes in [long.repeat(8), tiny, b"\x16GET / HTTP/1.1\r\n\r\n".to_vec(), vec![23, 3, 3, 0, 1, 0]] {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            let identity = self_signed::make(&[], std::time::SystemTime::now()).unwrap().identity;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Certificates::new(vec![identity]).unwrap()));
            let writing = async {
                // It may be cut off in the middle.
                let _ = client.write_all(&bytes).await;
            };
            let (outcome, ()) = tokio::join!(TlsStream::accept(tcp, Arc::new(config)), writing);
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert!(error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()), "{error}");
        });
    }
}

#[test]
fn an_idle_connection_is_small() {
    // With keys and state, which lie elsewhere, it is 4 KB; with buffers it was twice as much.
    assert!(size_of::<TlsStream>() <= 1280, "{}", size_of::<TlsStream>());
}
