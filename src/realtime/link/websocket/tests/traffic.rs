//! What is kept, what is shared, and what bounds it.

use tokio::io::DuplexStream;

use super::*;
use crate::settings::Size;

#[tokio::test]
async fn a_parcel_is_encoded_once_for_all() {
    let encoded = EncodedFrames::new(Frame::text("to everybody"));
    for _ in 0..3 {
        let (mut link, mut client) = pair().await;
        link.push_encoded(encoded.clone());
        flush(&mut link).await;
        let mut heard = [0; 14];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"\x81\x0cto everybody");
    }
    let mut is_rendered_again = false;
    encoded.wire(|_| {
        is_rendered_again = true;
        Bytes::new()
    });
    assert!(!is_rendered_again);
}

#[tokio::test]
async fn own_and_shared_frames_leave_in_order_however_many() {
    let (mut link, mut client) = pair().await;
    let long = "y".repeat(outgoing::LONG_FRAME + 1);
    let mut expected = Vec::new();
    for number in 0..200 {
        link.push(Frame::text(format!("{number:03}")));
        expected.extend_from_slice(format!("\u{3}{number:03}").as_bytes());
        link.push_encoded(Frame::text(long.clone()).into());
        expected.extend_from_slice(long.as_bytes());
    }
    let reading = tokio::spawn(async move {
        let mut heard = Vec::new();
        for _ in 0..200 {
            let mut small = [0; 5];
            client.read_exact(&mut small).await.unwrap();
            assert_eq!(small[0], 0x81);
            heard.extend_from_slice(&small[1..]);
            let mut large = vec![0; 4 + long.len()];
            client.read_exact(&mut large).await.unwrap();
            heard.extend_from_slice(&large[4..]);
        }
        heard
    });
    flush(&mut link).await;
    assert_eq!(reading.await.unwrap(), expected);
    assert_eq!(link.traffic().messages_out, 400);
    assert_eq!(link.traffic().bytes_out, 200 * (5 + 4 + outgoing::LONG_FRAME as u64 + 1));
}

/// A stream that knows no vectored writes, as TLS and HTTP/2; it counts its writes.
struct Recorded(DuplexStream, usize);

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1 += 1;
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[tokio::test]
async fn streams_without_vectored_writes_get_few_large_ones() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut link = WebSocket::new(Recorded(ours, 0), &[], None, &Config::default());
    let mut expected = Vec::new();
    for number in 0..1000 {
        link.push_encoded(Frame::text(format!("{number:0200}")).into());
        expected.extend_from_slice(format!("{number:0200}").as_bytes());
    }
    flush(&mut link).await;
    assert_eq!(link.stream.1, 204_000_usize.div_ceil(scratch::SCRATCH_LEN));
    drop(link);
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).await.unwrap();
    let payloads: Vec<u8> = heard.chunks(204).flat_map(|frame| &frame[4..]).copied().collect();
    assert_eq!(payloads, expected);
}

#[tokio::test]
async fn a_flood_of_pings_without_reading_is_answered_once_it_reads() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let mut link = WebSocket::new(ours, &[], None, &Config::default());
    // Nothing can be written: the pipe is full.
    link.push(Frame::Binary(vec![0; 4000].into()));
    for number in 0..1000_u32 {
        theirs.write_all(&masked(0x89, &number.to_be_bytes())).await.unwrap();
        assert_eq!(receive(&mut link).await.unwrap().unwrap(), Frame::Ping(number.to_be_bytes().to_vec().into()));
    }
    let reading = tokio::spawn(async move {
        let mut heard = vec![0; 4004 + 2 * 6];
        theirs.read_exact(&mut heard).await.unwrap();
        heard
    });
    flush(&mut link).await;
    let heard = reading.await.unwrap();
    // The first, which waited already, and the newest (RFC 6455 section 5.5.3).
    assert_eq!(&heard[4004..], [0x8a, 4, 0, 0, 0, 0, 0x8a, 4, 0, 0, 0x03, 0xe7]);
}

#[tokio::test]
async fn an_idle_socket_keeps_nothing() {
    let (mut link, mut client) = pair().await;
    for length in [10, 100_000] {
        client.write_all(&masked(0x82, &vec![1; length])).await.unwrap();
        client.write_all(&masked(0x81, b"behind it")).await.unwrap();
        assert_eq!(receive(&mut link).await.unwrap().unwrap().len(), length);
        let reading = tokio::spawn(async move {
            client.read_exact(&mut vec![0; length + if length > 125 { 10 } else { 2 }]).await.unwrap();
            client
        });
        link.push(Frame::Binary(vec![1; length].into()));
        flush(&mut link).await;
        assert_eq!(receive(&mut link).await.unwrap().unwrap(), Frame::text("behind it"));
        client = reading.await.unwrap();
        assert_eq!(link.carried.capacity(), 0);
        assert_eq!(link.outgoing.memory(), 0);
        assert_eq!(link.decoder.memory(), 0);
    }
    let size = std::mem::size_of::<WebSocket<TcpStream>>();
    assert!(size <= 336, "{size}");
}

#[tokio::test]
async fn an_announced_length_sets_no_memory_aside() {
    let config = Config { max_message: Size::mib(64), max_frame: Size::mib(64), ..Config::default() };
    let (mut link, mut client) = pair_with(&config, None).await;
    let mut head = masked(0x82, &vec![0; 60_000_000]);
    head.truncate(14);
    client.write_all(&head).await.unwrap();
    client.write_all(&[0; 100]).await.unwrap();
    let polled = tokio::time::timeout(Duration::from_millis(50), poll_fn(|context| link.poll_receive(context)));
    assert!(polled.await.is_err());
    assert!(link.decoder.memory() < 64 * 1024, "{}", link.decoder.memory());
}
