//! A terminal with a person before it: what stands on its screen, and the keys that are pressed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{PATIENCE, signal};

/// Both ends of a new terminal: the one of the person, and that of the program.
///
/// Made by hand, because openpty(3) lets every child inherit both ends, and then neither ever closes.
pub fn terminal() -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other end");
    let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("text");
    let mut options = OpenOptions::new();
    let slave = options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed()).open(name);
    (File::from(master), slave.expect("its other end"))
}

/// A door on a terminal that is all its own. Killed when dropped.
pub struct Screen {
    door: Child,
    keys: File,
    /// What comes, until nobody writes there any more.
    output: Receiver<String>,
    seen: String,
}

impl Screen {
    /// `doorway ARGUMENTS`, typed in `folder`; without colours.
    pub fn start(folder: &Path, arguments: &[&str], search_path: &str) -> Screen {
        let (terminal, other) = terminal();
        let [input, output] = [other.try_clone(), other.try_clone()].map(|end| end.expect("another"));
        // The terminal is the door's own, so that Ctrl-C reaches it and nobody else.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_doorway")]).args(arguments).current_dir(folder);
        command.env("NO_COLOR", "1").env("PATH", search_path).env_remove("RUST_LOG");
        let door = command.stdin(input).stdout(output).stderr(other).spawn().expect("setsid of util-linux");
        let (sender, output) = channel();
        let mut screen = terminal.try_clone().expect("another");
        // A terminal cannot be waited for with a deadline; when its last program is gone, to read there fails.
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut some) {
                let _ = sender.send(String::from_utf8_lossy(&some[..read]).replace('\r', ""));
            }
        });
        Screen { door, keys: terminal, output, seen: String::new() }
    }

    /// Presses a key.
    pub fn press(&mut self, key: char) {
        self.keys.write_all(key.to_string().as_bytes()).expect("a terminal takes keys");
    }

    /// Waits until `wanted` was written there, in a line or over what stood there.
    pub fn shows(&mut self, wanted: &str) {
        // What draws itself anew each second would be read for ever.
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(wanted) {
            assert!(self.read(), "ended without {wanted:?}: {}", self.seen);
            assert!(Instant::now() < deadline, "never {wanted:?}: {}", self.seen);
        }
    }

    /// The same, in what is written from now on.
    pub fn shows_anew(&mut self, wanted: &str) {
        self.seen.clear();
        self.shows(wanted);
    }

    /// All that was written so far.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keys, size).expect("a terminal has a size");
    }

    /// Sends the program a signal.
    pub fn signal(&self, name: &str) {
        signal::send(self.door.id(), name);
    }

    /// Waits until a line with `wanted` stands there.
    pub fn wait_for(&mut self, wanted: &str) {
        while !self.seen.lines().any(|line| line.contains(wanted)) || !self.seen.ends_with('\n') {
            assert!(self.read(), "ended without {wanted:?}: {}", self.seen);
        }
    }

    /// Waits for the door's end; gives its exit code and all that it has left on the screen.
    pub fn end(mut self) -> (Option<i32>, String) {
        while self.read() {}
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.door.try_wait().expect("the child can be waited for") {
                return (status.code(), std::mem::take(&mut self.seen));
            }
            assert!(Instant::now() < deadline, "it never ended: {}", self.seen);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// False when nobody writes there any more.
    fn read(&mut self) -> bool {
        match self.output.recv_timeout(PATIENCE) {
            Ok(text) => self.seen.push_str(&text),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came any more behind: {}", self.seen),
        }
        true
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.door.kill();
        let _ = self.door.wait();
    }
}
