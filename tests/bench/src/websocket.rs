//! WebSocket load, on raw frames: echo, fan-out, rooms, many idle sockets, and how fast they are let in.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::ably::{self, Place, Who};
use crate::http::{Io, connector, name};
use crate::pusher;
use crate::rest::Rest;
use crate::tally::Tally;

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);

pub type Socket = Box<dyn Io>;

/// How a client comes in.
#[derive(Debug, Clone)]
pub struct Visit {
    pub path: String,
    pub speech: Speech,
}

/// What it speaks on its WebSocket.
#[derive(Debug, Clone)]
pub enum Speech {
    /// Text as it is.
    Plain,
    /// Socket.IO 5 over Engine.IO 4, in a namespace, and in a room where it says so.
    SocketIo { namespace: String, room: Option<String> },
    /// Pusher Channels 7, subscribed to a channel.
    Pusher { channel: &'static str },
    /// Ably 6, attached to a channel.
    Ably { channel: &'static str, format: ably::Format, place: Option<Place> },
}

impl Visit {
    pub fn plain(path: impl Into<String>) -> Visit {
        Visit { path: path.into(), speech: Speech::Plain }
    }

    pub fn socket_io(namespace: impl Into<String>) -> Visit {
        let speech = Speech::SocketIo { namespace: namespace.into(), room: None };
        Visit { path: "/socket.io/?EIO=4&transport=websocket".to_owned(), speech }
    }

    /// In the main namespace, to be let into a room first.
    pub fn socket_io_room(room: String) -> Visit {
        let speech = Speech::SocketIo { namespace: "/".to_owned(), room: Some(room) };
        Visit { speech, ..Visit::socket_io("/") }
    }

    pub fn pusher(channel: &'static str) -> Visit {
        let path = format!("/app/{}?protocol=7&client=js&version=8.6.0", pusher::KEY);
        Visit { path, speech: Speech::Pusher { channel } }
    }

    /// `place`: of who comes back.
    pub fn ably(channel: &'static str, format: ably::Format, who: Who, place: Option<Place>) -> Visit {
        Visit { path: ably::path(format, who, place.as_ref()), speech: Speech::Ably { channel, format, place } }
    }

    /// A message of `length` characters, as one frame.
    pub fn message(&self, length: usize) -> Vec<u8> {
        let text = "m".repeat(length);
        match &self.speech {
            Speech::Plain => frame(&text),
            Speech::Ably { .. } => unreachable!("published by REST"),
            Speech::SocketIo { namespace, .. } => frame(&format!("42{}[\"message\",\"{text}\"]", prefix(namespace))),
            Speech::Pusher { channel } => {
                frame(&format!("{{\"event\":\"client-message\",\"channel\":\"{channel}\",\"data\":\"{text}\"}}"))
            }
        }
    }
}

/// How a packet names a namespace: the main one goes without saying.
fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}

/// Opens a socket and says what must be said first.
pub async fn open(address: SocketAddr, visit: &Visit, tls: bool) -> Result<Socket> {
    Ok(come(address, visit, tls).await?.0)
}

/// The same; with the place of a client that may come back to it.
pub async fn come(address: SocketAddr, visit: &Visit, tls: bool) -> Result<(Socket, Place)> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true)?;
    let mut socket: Socket =
        if tls { Box::new(connector(false, false).connect(name(), stream).await?) } else { Box::new(stream) };
    let scheme = if tls { "https" } else { "http" };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\nOrigin: {scheme}://{address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        visit.path
    );
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read(&mut byte).await? == 0 || head.len() > 4096 {
            bail!("no upgrade: {}", String::from_utf8_lossy(&head));
        }
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        bail!("no upgrade: {}", String::from_utf8_lossy(&head));
    }
    match &visit.speech {
        Speech::Plain => {}
        Speech::SocketIo { namespace, room } => {
            expect(&mut socket, "0{").await?;
            socket.write_all(&frame(&format!("40{}", prefix(namespace)))).await?;
            socket.flush().await?;
            expect(&mut socket, "40").await?;
            if let Some(room) = room {
                socket.write_all(&frame(&format!("420[\"join-room\",\"{room}\"]"))).await?;
                socket.flush().await?;
                expect(&mut socket, "430").await?;
            }
        }
        Speech::Pusher { channel } => {
            let established = expect(&mut socket, "{\"event\":\"pusher:connection_established\"").await?;
            socket.write_all(&frame(&pusher::subscription(&established, channel)?)).await?;
            socket.flush().await?;
            expect(&mut socket, "{\"event\":\"pusher_internal:subscription_succeeded\"").await?;
        }
        Speech::Ably { channel, format, place } => {
            let connected = read(&mut socket).await?;
            let (attach, mut now) = ably::attach(*format, &connected, channel, place.as_ref())?;
            let opcode = if *format == ably::Format::Json { TEXT } else { BINARY };
            socket.write_all(&frame_of(opcode, &attach)).await?;
            socket.flush().await?;
            now.serial = ably::attached(*format, &read(&mut socket).await?, place.is_some())?;
            return Ok((socket, now));
        }
    }
    Ok((socket, Place::default()))
}

/// Says one text.
pub async fn say(socket: &mut Socket, text: &str) -> Result<()> {
    socket.write_all(&frame(text)).await?;
    socket.flush().await?;
    Ok(())
}

/// Reads one short frame, which must begin so.
pub async fn expect(socket: &mut Socket, beginning: &str) -> Result<String> {
    let text = String::from_utf8(read(socket).await?)?;
    if !text.starts_with(beginning) {
        bail!("{beginning} was to come, not {text}");
    }
    Ok(text)
}

/// Reads one frame.
pub async fn read(socket: &mut Socket) -> Result<Vec<u8>> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).await?;
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        socket.read_exact(&mut long).await?;
        length = usize::from(u16::from_be_bytes(long));
    } else if length == 127 {
        length = usize::try_from(socket.read_u64().await?)?;
    }
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await?;
    if head[0] & 0x0f == CLOSE {
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
        bail!("closed with {}: {reason}", code.unwrap_or(1005));
    }
    Ok(payload)
}

/// Opens `count` sockets, at most 64 handshakes at a time; visits by number.
pub async fn open_many(
    address: SocketAddr,
    count: usize,
    tls: bool,
    visit: impl Fn(usize) -> Visit,
) -> Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(count);
    let mut opening = tokio::task::JoinSet::new();
    for number in 0..count {
        let visit = visit(number);
        opening.spawn_local(async move { tokio::time::timeout(PATIENCE, open(address, &visit, tls)).await? });
        if opening.len() >= 64 {
            sockets.push(opening.join_next().await.expect("not empty")??);
        }
    }
    while let Some(socket) = opening.join_next().await {
        sockets.push(socket??);
    }
    Ok(sockets)
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// A client's frame of text.
pub fn frame(text: &str) -> Vec<u8> {
    frame_of(TEXT, text.as_bytes())
}

/// A client's frame of bytes.
pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame_of(BINARY, payload)
}

/// A client's frame; its mask is zero, which is as good as any other.
fn frame_of(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![0x80 | opcode];
    match length {
        0..=125 => frame.push(0x80 | length as u8),
        126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Frames that are no longer than this, in bytes, are no messages.
const SHORT: usize = 8;

/// Counts whole frames in a stream of a server's bytes.
#[derive(Default)]
struct Counter {
    rest: Vec<u8>,
}

impl Counter {
    fn count(&mut self, bytes: &[u8]) -> u64 {
        self.rest.extend_from_slice(bytes);
        let (mut at, mut frames) = (0, 0);
        while let Some(length) = whole(&self.rest[at..]) {
            // Only messages count; pings may come at any time, Engine.IO's in frames of one byte of text.
            frames += u64::from(self.rest[at] & 0x0f <= 2 && length > SHORT);
            at += length;
        }
        self.rest.drain(..at);
        frames
    }
}

fn whole(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(*bytes.get(1)? & 0x7f);
    let (head, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, short),
    };
    (bytes.len() >= head + length).then_some(head + length)
}

/// Each of `clients` sends as soon as it is answered, until `end`.
pub async fn echo(
    address: SocketAddr,
    visit: impl Fn(usize) -> Visit,
    clients: usize,
    length: usize,
    end: Instant,
) -> Result<Tally> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..clients {
        let visit = visit(number);
        let frame = visit.message(length);
        let mut socket = open(address, &visit, false).await?;
        let tally = Rc::clone(&tally);
        tasks.spawn_local(async move {
            let (mut buffer, mut counter) = (vec![0; 4096], Counter::default());
            while Instant::now() < end {
                let start = Instant::now();
                socket.write_all(&frame).await?;
                let mut frames = 0;
                while frames == 0 {
                    let read = socket.read(&mut buffer).await?;
                    if read == 0 {
                        bail!("closed");
                    }
                    frames = counter.count(&buffer[..read]);
                }
                tally.borrow_mut().add(start.elapsed(), frames);
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(Rc::into_inner(tally).expect("every task has ended").into_inner())
}

/// Everybody who hears, and how much all of them have heard.
pub struct Hearing {
    delivered: Rc<Cell<u64>>,
    wanted: Rc<Cell<u64>>,
    arrived: Rc<Notify>,
    readers: tokio::task::JoinSet<()>,
}

impl Hearing {
    pub fn of(sockets: Vec<Socket>) -> (Hearing, Vec<tokio::io::WriteHalf<Socket>>) {
        let mut hearing = Hearing {
            delivered: Rc::default(),
            wanted: Rc::new(Cell::new(u64::MAX)),
            arrived: Rc::default(),
            readers: tokio::task::JoinSet::new(),
        };
        let mut writers = Vec::new();
        for socket in sockets {
            let (mut reader, writer) = tokio::io::split(socket);
            writers.push(writer);
            let Hearing { delivered, wanted, arrived, .. } = &hearing;
            let (delivered, wanted, arrived) = (Rc::clone(delivered), Rc::clone(wanted), Rc::clone(arrived));
            hearing.readers.spawn_local(async move {
                let (mut buffer, mut counter) = (vec![0; 2048], Counter::default());
                while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                    delivered.set(delivered.get() + counter.count(&buffer[..read]));
                    if delivered.get() >= wanted.get() {
                        arrived.notify_one();
                    }
                }
            });
        }
        (hearing, writers)
    }

    /// Waits until so much has been heard since the beginning.
    pub async fn all(&self, expected: u64) -> Result<()> {
        self.wanted.set(expected);
        while self.delivered.get() < expected {
            tokio::time::timeout(PATIENCE, self.arrived.notified())
                .await
                .with_context(|| format!("{} of {expected} deliveries came", self.delivered.get()))?;
        }
        Ok(())
    }
}

/// Messages to all who hear, `in_flight` at a time, until `end`. `targets` says, for one message, which socket sends it
/// and how many hear it.
pub async fn fan_out(
    sockets: Vec<Socket>,
    frame: Vec<u8>,
    in_flight: usize,
    end: Instant,
    mut target: impl FnMut() -> (usize, u64),
) -> Result<Tally> {
    let (hearing, mut writers) = Hearing::of(sockets);
    let mut tally = Tally::default();
    let mut expected = 0;
    while Instant::now() < end {
        let start = Instant::now();
        // What one client says at once leaves in one write.
        let mut said: BTreeMap<usize, usize> = BTreeMap::new();
        for _ in 0..in_flight {
            let (sender, hear) = target();
            expected += hear;
            *said.entry(sender).or_default() += 1;
        }
        for (sender, messages) in said {
            writers[sender].write_all(&frame.repeat(messages)).await?;
        }
        hearing.all(expected).await?;
        tally.add(start.elapsed(), 0);
    }
    tally.work = hearing.delivered.get();
    Ok(tally)
}

/// Messages by a REST API to all who hear, one after the other, until `end`.
pub async fn publish(sockets: Vec<Socket>, mut rest: Rest, channel: &str, end: Instant) -> Result<Tally> {
    let hear = sockets.len() as u64;
    let (hearing, _writers) = Hearing::of(sockets);
    let mut tally = Tally::default();
    let mut expected = 0;
    while Instant::now() < end {
        let start = Instant::now();
        rest.publish(channel, 64).await?;
        expected += hear;
        hearing.all(expected).await?;
        tally.add(start.elapsed(), 0);
    }
    tally.work = hearing.delivered.get();
    Ok(tally)
}
