//! A pipe to one process of the app, by which it is told what others declared old: before it begins, and while it runs.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::ioctl_fionbio;

/// Bytes that wait for a process which does not read; beyond it lines are let go of.
const MAX_WAITING: usize = 1024 * 1024;

/// The door's end of it.
pub struct Ear(Mutex<State>);

struct State {
    /// `None` while another thread writes what waits, and once nobody reads.
    writer: Option<PipeWriter>,
    /// Behind what that thread writes.
    waiting: Vec<u8>,
    is_carrying: bool,
    /// To be said in place of what there was no room for.
    instead: Option<Vec<u8>>,
}

impl Ear {
    /// A pipe in which `first` is to be read. A process that reads nothing for a while is waited for by a thread.
    ///
    /// # Errors
    /// Those of the system: there are no more files to be had.
    pub fn new(first: Vec<u8>) -> io::Result<(Arc<Ear>, PipeReader)> {
        let (reader, mut writer) = io::pipe()?;
        ioctl_fionbio(&writer, true)?;
        let mut rest = first.as_slice();
        // It holds 64 KiB without anybody who reads.
        while let Ok(length @ 1..) = writer.write(rest) {
            rest = &rest[length..];
        }
        let waiting = rest.to_vec();
        let ear = Ear(Mutex::new(State { writer: Some(writer), waiting, is_carrying: false, instead: None }));
        let ear = Arc::new(ear);
        ear.carry(&mut ear.0.lock());
        Ok((ear, reader))
    }

    /// Says a whole line, shorter than what a pipe takes whole. It is in the pipe when this returns, unless the process has
    /// not read for long; where even `instead` is nearer to the truth than what there is room for, that is said.
    pub fn tell(self: &Arc<Self>, line: &[u8], instead: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.is_empty()
            && let Some(writer) = &mut state.writer
        {
            match writer.write(line) {
                Ok(length) if length == line.len() => return,
                // Not on Linux: a line is shorter than what a pipe takes whole.
                Ok(length) => {
                    state.waiting.extend_from_slice(&line[length..]);
                    return self.carry(&mut state);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    state.writer = None;
                    return;
                }
            }
        }
        if state.writer.is_none() && !state.is_carrying {
            return;
        }
        if state.waiting.len() + line.len() > MAX_WAITING {
            state.instead = Some(instead.to_vec());
        } else {
            state.waiting.extend_from_slice(line);
        }
        self.carry(&mut state);
    }

    /// Has what waits written by a thread that may be held up. It ends with the process.
    fn carry(self: &Arc<Self>, state: &mut State) {
        if state.waiting.is_empty() || state.is_carrying {
            return;
        }
        let Some(mut writer) = state.writer.take() else { return };
        state.is_carrying = true;
        let ear = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let mut is_read = ioctl_fionbio(&writer, false).is_ok();
            loop {
                let mut state = ear.0.lock();
                if is_read && state.waiting.is_empty() {
                    state.waiting = state.instead.take().unwrap_or_default();
                }
                let text = std::mem::take(&mut state.waiting);
                if !is_read || text.is_empty() {
                    state.is_carrying = false;
                    state.writer = (is_read && ioctl_fionbio(&writer, true).is_ok()).then_some(writer);
                    return;
                }
                drop(state);
                is_read = writer.write_all(&text).is_ok();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[tokio::test]
    async fn all_is_heard_in_order_by_whoever_comes_late() {
        let line = |number: usize| format!("{number:0>100}\n").into_bytes();
        let (ear, reader) = Ear::new((0..2000).flat_map(line).collect()).unwrap();
        for number in 2000..4000 {
            ear.tell(&line(number), b"");
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(reader).lines();
            for number in 0..4000 {
                assert_eq!(lines.next().unwrap().unwrap().parse::<usize>().unwrap(), number);
            }
            lines
        });
        let mut lines = read.await.unwrap();
        // The thread may still hold the pipe: then it carries this too.
        ear.tell(&line(4000), b"");
        let last = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap());
        assert_eq!(last.await.unwrap().parse::<usize>().unwrap(), 4000);
    }

    #[tokio::test]
    async fn who_reads_nothing_takes_no_memory() {
        let (ear, reader) = Ear::new(Vec::new()).unwrap();
        for _ in 0..2000 {
            ear.tell(&[b'x'; 4000], b"instead\n");
        }
        assert!(ear.0.lock().waiting.len() <= MAX_WAITING);
        let last = tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            BufReader::new(reader).read_until(b'\n', &mut text).unwrap();
            text
        });
        assert!(last.await.unwrap().ends_with(b"instead\n"));
        // Nobody reads any more.
        for _ in 0..2 {
            ear.tell(b"a\n", b"");
        }
    }
}
