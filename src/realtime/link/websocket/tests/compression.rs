//! permessage-deflate over a socket; the client's side is made with the library itself.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::*;
use crate::realtime::vocabulary::Breach;
use crate::settings::Size;

fn agreed(offer: &str, config: &Config) -> Agreed {
    extension::negotiate([offer].into_iter(), config.offerable()).unwrap().expect("an agreement")
}

fn deflating(context: bool) -> Config {
    Config { deflate: true, deflate_context: context, deflate_threshold: Size(0), ..Config::default() }
}

/// The client's compressor.
struct Deflating(Compress);

impl Deflating {
    fn new(window: u8) -> Deflating {
        Deflating(Compress::new_with_window_bits(Compression::best(), false, window))
    }

    fn message(&mut self, message: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(message.len() + 1024);
        self.0.compress_vec(message, &mut output, FlushCompress::Sync).unwrap();
        assert!(output.ends_with(&[0, 0, 0xff, 0xff]));
        output.truncate(output.len() - 4);
        output
    }
}

/// The client's inflater.
fn inflate(state: &mut Decompress, payload: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(1 << 20);
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    state.decompress_vec(&input, &mut output, FlushDecompress::Sync).unwrap();
    output
}

/// One frame of the server: its first byte and payload.
async fn frame(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    client.read_exact(&mut head).await.unwrap();
    let length = match head[1] {
        126 => usize::from(client.read_u16().await.unwrap()),
        127 => client.read_u64().await.unwrap() as usize,
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    client.read_exact(&mut payload).await.unwrap();
    (head[0], payload)
}

#[tokio::test]
async fn both_ways_with_and_without_context_and_with_small_windows() {
    let offers = [
        ("permessage-deflate; client_max_window_bits", 15),
        ("permessage-deflate; client_max_window_bits=9; server_max_window_bits=9", 9),
        ("permessage-deflate; client_max_window_bits=8; server_max_window_bits=8", 9),
        ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", 15),
    ];
    for context in [false, true] {
        for (offer, window) in offers {
            let config = deflating(context);
            let agreed = agreed(offer, &config);
            let (link, mut client) = pair_with(&config, Some(&agreed)).await;
            let server = tokio::spawn(echo(link));
            let mut deflating = Deflating::new(window);
            let mut inflating = Decompress::new_with_window_bits(false, window);
            for round in 0..20 {
                let text =
                    format!("{{\"round\":{round},\"text\":\"{}\"}}", "the same again and again, ".repeat(round * 3));
                if !agreed.client_context {
                    deflating.0.reset();
                }
                let payload = deflating.message(text.as_bytes());
                client.write_all(&masked(0xc1, &payload)).await.unwrap();
                let (first, payload) = frame(&mut client).await;
                if first == 0x81 {
                    assert_eq!(payload, text.as_bytes());
                    continue;
                }
                assert_eq!(first, 0xc1);
                assert!(agreed.server_window >= 9, "compressed with a window that cannot be had");
                if !agreed.server_context {
                    inflating.reset(false);
                }
                assert_eq!(inflate(&mut inflating, &payload), text.as_bytes(), "{offer} {context} {round}");
                assert!(round < 5 || payload.len() < text.len() / 2);
            }
            client.shutdown().await.unwrap();
            server.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_parcel_is_deflated_once_for_all_without_context() {
    let config = deflating(false);
    let agreed = agreed("permessage-deflate", &config);
    let encoded = EncodedFrames::new(Frame::text("all the same ".repeat(50)));
    let mut first = None;
    for _ in 0..3 {
        let (mut link, mut client) = pair_with(&config, Some(&agreed)).await;
        link.push_encoded(encoded.clone());
        flush(&mut link).await;
        let (kind, payload) = frame(&mut client).await;
        assert_eq!(kind, 0xc1);
        assert_eq!(inflate(&mut Decompress::new(false), &payload), "all the same ".repeat(50).as_bytes());
        assert_eq!(first.get_or_insert(payload.clone()), &payload);
    }
    assert!(encoded.deflated(15, |_| panic!("made again")).is_some());
    // Another window makes its own.
    let agreed =
        extension::negotiate(["permessage-deflate; server_max_window_bits=10"].into_iter(), config.offerable());
    let (mut link, mut client) = pair_with(&config, agreed.unwrap().as_ref()).await;
    link.push_encoded(encoded);
    flush(&mut link).await;
    let (kind, payload) = frame(&mut client).await;
    assert_eq!(kind, 0xc1);
    assert_eq!(inflate(&mut Decompress::new_with_window_bits(false, 10), &payload).len(), 13 * 50);
}

#[tokio::test]
async fn a_bomb_is_too_big_and_never_unpacked() {
    let config = Config { max_message: Size::kib(64), ..deflating(false) };
    let agreed = agreed("permessage-deflate", &config);
    let (mut link, mut client) = pair_with(&config, Some(&agreed)).await;
    let bomb = Deflating::new(15).message(&vec![0; 50 << 20]);
    assert!(bomb.len() < 64 * 1024, "{}", bomb.len());
    client.write_all(&masked(0xc2, &bomb)).await.unwrap();
    let Some(Err(LinkError::Violation(violation))) = receive(&mut link).await else { panic!("no violation") };
    assert_eq!(violation.breach, Breach::TooBig);
    assert_eq!(link.decoder.memory(), 0);
}

#[tokio::test]
async fn between_messages_no_inflater_is_kept_without_context() {
    let config = deflating(false);
    let agreed = agreed("permessage-deflate", &config);
    let (mut link, mut client) = pair_with(&config, Some(&agreed)).await;
    let payload = Deflating::new(15).message(b"hello hello hello");
    let (begin, end) = payload.split_at(3);
    client.write_all(&masked(0x41, begin)).await.unwrap();
    client.write_all(&masked(0x80, end)).await.unwrap();
    assert_eq!(receive(&mut link).await.unwrap().unwrap(), Frame::text("hello hello hello"));
    assert_eq!(link.decoder.memory(), 0);
}
