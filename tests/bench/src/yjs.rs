//! Yjs by y-protocols: updates as an editor writes them, one letter at a time, in raw frames.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::io::AsyncWriteExt;

use crate::http::WARM_UP;
use crate::tally::Tally;
use crate::websocket::{self, Hearing, Socket, Visit};

/// The state vector of who has nothing.
const VECTOR: [u8; 4] = [0, 0, 1, 0];
/// How an answer to it begins.
const LACKING: [u8; 2] = [0, 1];
/// A document with nothing in it, as such an answer.
const NOTHING: usize = 5;
/// Numbers of editors as Yjs draws them: of 32 bits.
const FIRST_EDITOR: u64 = 0x9e37_79b9;

/// Somebody who types, each letter behind his last.
struct Editor {
    id: u64,
    clock: u64,
}

impl Editor {
    /// The next letter, as an update.
    fn letter(&mut self) -> Vec<u8> {
        // One editor, one piece of text, at this clock.
        let mut update = vec![1, 1];
        put(&mut update, self.id);
        put(&mut update, self.clock);
        match self.clock.checked_sub(1) {
            Some(last) => {
                update.push(0x84);
                put(&mut update, self.id);
                put(&mut update, last);
            }
            // In the text of this name.
            None => update.extend([0x04, 1, 4, b't', b'e', b'x', b't']),
        }
        update.extend([1, b'a' + (self.clock % 26) as u8, 0]);
        self.clock += 1;
        let mut frame = vec![0, 2, update.len() as u8];
        frame.extend(update);
        websocket::binary(&frame)
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Comes in and has what is there; with how many bytes that is.
async fn come(address: SocketAddr, visit: &Visit) -> Result<(Socket, usize)> {
    let mut socket = websocket::open(address, visit, false).await?;
    socket.write_all(&websocket::binary(&VECTOR)).await?;
    loop {
        // Servers ask for what the client has, too.
        let frame = tokio::time::timeout(Duration::from_secs(60), websocket::read(&mut socket)).await??;
        if frame.starts_with(&LACKING) {
            return Ok((socket, frame.len()));
        }
    }
}

/// `writers` type into one document, each a letter at a time, until all `readers` have all of these letters: then the next.
/// What is counted is what readers hear.
pub async fn type_on(
    address: SocketAddr,
    visit: &Visit,
    (writers, readers): (usize, usize),
    span: Duration,
    mut started: impl FnMut(),
) -> Result<Tally> {
    let (mut editors, mut heard) = (Vec::new(), Vec::new());
    for number in 0..writers {
        let editor = Editor { id: FIRST_EDITOR + 977 * number as u64, clock: 0 };
        editors.push((editor, come(address, visit).await?.0));
    }
    for _ in 0..readers {
        heard.push(come(address, visit).await?.0);
    }
    let (editors, sockets): (Vec<_>, Vec<_>) = editors.into_iter().unzip();
    // Writers read as well, uncounted: else their sockets fill.
    let (_drained, outs) = Hearing::of(sockets);
    let (hearing, _quiet) = Hearing::of(heard);
    let mut writing: Vec<_> = editors.into_iter().zip(outs).collect();
    let (mut tally, mut expected, mut letters) = (Tally::default(), 0, 0);
    let (mut end, mut is_warm) = (Instant::now() + WARM_UP, false);
    loop {
        if Instant::now() >= end {
            if is_warm {
                break;
            }
            is_warm = true;
            tally = Tally::default();
            started();
            end = Instant::now() + span;
        }
        let start = Instant::now();
        for (editor, out) in &mut writing {
            out.write_all(&editor.letter()).await?;
        }
        letters += writers;
        expected += (writers * readers) as u64;
        hearing.all(expected).await?;
        tally.add(start.elapsed(), (writers * readers) as u64);
    }
    let (_newcomer, bytes) = come(address, visit).await?;
    if bytes < letters + NOTHING {
        bail!("{letters} letters were typed, and the document is {bytes} bytes");
    }
    Ok(tally)
}
