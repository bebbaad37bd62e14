//! Liveblocks: what its clients say, in raw frames.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use memchr::memmem;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::tally::Tally;
use crate::websocket::{self, Socket, Visit};

pub const KEY: &str = "pk_bench";
const ROOM: &str = "room";
const PATIENCE: Duration = Duration::from_secs(60);
/// How often somebody who moves says where he is.
const EVERY: Duration = Duration::from_millis(100);
/// Objects of a large document, and what each of them says.
const OBJECTS: (usize, usize) = (10_000, 500);

/// Somebody in a room.
pub struct Member {
    pub socket: Socket,
    actor: u64,
}

impl Member {
    pub async fn enter(address: SocketAddr, room: &str) -> Result<Member> {
        let visit = Visit::plain(format!("/v8?roomId={room}&pubkey={KEY}&version=3.24.2"));
        let mut socket = websocket::open(address, &visit, false).await?;
        let state: Value = serde_json::from_slice(&websocket::read(&mut socket).await?)?;
        if state["type"] != 104 {
            bail!("the state of the room was to come, not {state}");
        }
        Ok(Member { actor: state["actor"].as_u64().context("no actor")?, socket })
    }

    async fn say(&mut self, messages: &Value) -> Result<()> {
        self.socket.write_all(&websocket::frame(&messages.to_string())).await?;
        Ok(())
    }

    /// Fetches the storage; with how many bytes it is.
    pub async fn fetch(&mut self) -> Result<u64> {
        self.say(&json!([{ "type": 200 }])).await?;
        let mut bytes = 0;
        loop {
            let frame = tokio::time::timeout(PATIENCE, websocket::read(&mut self.socket)).await??;
            bytes += frame.len() as u64;
            if memmem::find(&frame[frame.len().saturating_sub(200)..], b"\"type\":211").is_some() {
                return Ok(bytes);
            }
        }
    }

    /// Says these, which must have their `opId`, and waits for the server's word on each.
    async fn change(&mut self, ops: Vec<Value>) -> Result<()> {
        let mut wanted = ops.len();
        self.say(&json!([{ "type": 201, "ops": ops }])).await?;
        while wanted > 0 {
            let frame = tokio::time::timeout(PATIENCE, websocket::read(&mut self.socket)).await??;
            if memmem::find(&frame, b"\"type\":299").is_some() {
                bail!("refused: {}", String::from_utf8_lossy(&frame));
            }
            // What others did has none.
            wanted = wanted.saturating_sub(memmem::find_iter(&frame, b"\"opId\"").count());
        }
        Ok(())
    }

    /// The list `list` in the root, with these strings.
    pub async fn make_list(&mut self, list: &str, items: usize) -> Result<()> {
        let id = |what: &str| format!("{}:{what}", self.actor);
        let create = |op: usize, mut value: Value| {
            value["opId"] = id(&format!("o{op}")).into();
            value
        };
        let mut ops = vec![create(0, json!({ "type": 2, "id": id(list), "parentId": "root", "parentKey": list }))];
        for item in 1..=items {
            let register = json!({ "type": 8, "id": id(&format!("{list}{item}")), "parentId": id(list),
                "parentKey": position(item - 1), "data": format!("item {item}") });
            ops.push(create(item, register));
        }
        self.change(ops).await
    }
}

/// The position of this number in a list.
fn position(number: usize) -> String {
    let digit = |number: usize| char::from(33 + (number % 94) as u8);
    [digit(number / 8836), digit(number / 94), digit(number)].iter().collect()
}

/// Two edit one list of ten: each frame sets an item that the other sets too, takes away what its author put in before, and puts
/// in something else. The next follows when all of it is acknowledged. What is counted are these changes.
pub async fn edit_list(address: SocketAddr, span: Duration, started: impl FnOnce()) -> Result<Tally> {
    let mut first = Member::enter(address, ROOM).await?;
    first.make_list("l", 10).await?;
    let list = format!("{}:l", first.actor);
    let shared = format!("{}:l5", first.actor);
    let second = Member::enter(address, ROOM).await?;
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut editing = JoinSet::new();
    started();
    let end = Instant::now() + span;
    for (mut member, place) in [(first, 1), (second, 7)] {
        let (tally, list, mut set, mut put) = (Rc::clone(&tally), list.clone(), shared.clone(), None);
        editing.spawn_local(async move {
            let mut count = 0;
            while Instant::now() < end {
                let start = Instant::now();
                let mut next = |what: &str| {
                    count += 1;
                    format!("{}:{what}{count}", member.actor)
                };
                let (new_set, new_put) = (next("s"), next("p"));
                let mut ops = vec![json!({ "type": 8, "opId": next("o"), "id": new_set, "parentId": list,
                    "parentKey": position(4), "data": "set", "intent": "set", "deletedId": set })];
                ops.extend(put.map(|put: String| json!({ "type": 5, "opId": next("o"), "id": put })));
                ops.push(json!({ "type": 8, "opId": next("o"), "id": new_put, "parentId": list,
                    "parentKey": position(place), "data": "put in" }));
                let changes = ops.len() as u64;
                member.change(ops).await?;
                (set, put) = (new_set, Some(new_put));
                tally.borrow_mut().add(start.elapsed(), changes);
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = editing.join_next().await {
        done??;
    }
    // The list, its ten, and what each of the two put in last.
    let mut newcomer = Member::enter(address, ROOM).await?;
    let bytes = newcomer.fetch().await?;
    if !(200..5_000).contains(&bytes) {
        bail!("a list of twelve short words is {bytes} bytes");
    }
    Ok(Rc::into_inner(tally).context("every task has ended")?.into_inner())
}

/// `count` show their cursors ten times a second. What is counted are cursors that somebody hears, and how long one takes.
pub async fn cursors(
    address: SocketAddr,
    count: usize,
    span: Duration,
    mut started: impl FnMut(),
    ended: impl FnOnce(),
) -> Result<Tally> {
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(Member::enter(address, ROOM).await?);
    }
    let (heard, sent) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let tally = Rc::new(RefCell::new(Tally::default()));
    let (mut moving, mut listening) = (JoinSet::new(), JoinSet::new());
    let begin = Instant::now() + Duration::from_millis(500);
    let end = begin + span;
    for (number, member) in members.into_iter().enumerate() {
        let (mut reader, mut writer) = tokio::io::split(member.socket);
        let (heard, tally) = (Rc::clone(&heard), (number == 0).then(|| Rc::clone(&tally)));
        listening.spawn_local(async move {
            let (mut buffer, mut cursors) = (vec![0; 16 * 1024], Cursors::default());
            while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                heard.set(heard.get() + cursors.count(&buffer[..read], begin, tally.as_deref()));
            }
        });
        let sent = Rc::clone(&sent);
        moving.spawn_local(async move {
            // Nobody moves with anybody else.
            let mut next = begin + EVERY * number as u32 / count as u32;
            while next < end {
                tokio::time::sleep_until(next.into()).await;
                let at = begin.elapsed().as_micros();
                let cursor =
                    json!([{ "type": 100, "data": { "cursor": { "x": at % 1_280, "y": at % 713 }, "t": at } }]);
                writer.write_all(&websocket::frame(&cursor.to_string())).await?;
                sent.set(sent.get() + 1);
                next += EVERY;
            }
            anyhow::Ok(writer)
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    started();
    let mut writers = Vec::new();
    while let Some(done) = moving.join_next().await {
        writers.push(done??);
    }
    let expected = sent.get() * (count as u64 - 1);
    let deadline = Instant::now() + PATIENCE;
    while heard.get() < expected {
        if Instant::now() > deadline {
            bail!("{} of {expected} cursors came", heard.get());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ended();
    listening.abort_all();
    let mut tally = tally.take();
    tally.work = heard.get();
    Ok(tally)
}

/// Finds cursors in a stream of bytes.
#[derive(Default)]
struct Cursors {
    rest: Vec<u8>,
}

impl Cursors {
    fn count(&mut self, bytes: &[u8], begin: Instant, tally: Option<&RefCell<Tally>>) -> u64 {
        const MARK: &[u8] = b"\"t\":";
        self.rest.extend_from_slice(bytes);
        let (mut found, mut at) = (0, 0);
        while let Some(place) = memmem::find(&self.rest[at..], MARK) {
            let digits = &self.rest[at + place + MARK.len()..];
            let Some(length) = digits.iter().position(|byte| !byte.is_ascii_digit()) else { break };
            if let Some(tally) = tally {
                let shown = digits[..length].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
                tally.borrow_mut().add(begin.elapsed().saturating_sub(Duration::from_micros(shown)), 0);
            }
            found += 1;
            at += place + MARK.len() + length;
        }
        self.rest.drain(..at);
        // A mark may be cut in two.
        if memmem::find(&self.rest, MARK).is_none() {
            let keep = self.rest.len().min(MARK.len() - 1);
            self.rest.drain(..self.rest.len() - keep);
        }
        found
    }
}

/// Makes a document of 5 MB.
pub async fn make_large(address: SocketAddr) -> Result<()> {
    let (objects, length) = OBJECTS;
    let mut member = Member::enter(address, ROOM).await?;
    member.make_list("l", 0).await?;
    let list = format!("{}:l", member.actor);
    for first in (0..objects).step_by(100) {
        let object = |number: usize| {
            json!({ "type": 4, "opId": format!("{}:b{number}", member.actor), "id": format!("{}:{number}", member.actor),
                "parentId": list, "parentKey": position(number), "data": { "text": "w".repeat(length) } })
        };
        let ops = (first..first + 100).map(object).collect();
        member.change(ops).await?;
    }
    Ok(())
}

/// Somebody new fetches it, with what it took.
pub async fn load(address: SocketAddr) -> Result<(Duration, u64)> {
    let start = Instant::now();
    let bytes = Member::enter(address, ROOM).await?.fetch().await?;
    if bytes < (OBJECTS.0 * OBJECTS.1) as u64 {
        bail!("only {bytes} bytes came");
    }
    Ok((start.elapsed(), bytes))
}

/// One in each of `rooms`, with a list of twenty words there.
pub async fn enter_rooms(address: SocketAddr, rooms: std::ops::Range<usize>) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for room in rooms {
        let mut member = Member::enter(address, &format!("room-{room}")).await?;
        member.fetch().await?;
        member.make_list("l", 20).await?;
        members.push(member);
    }
    Ok(members)
}
