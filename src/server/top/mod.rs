//! `doorway top`: what the running door does, each second anew on a terminal, once where there is none.

mod picture;
mod reading;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::termios::tcgetwinsize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::ask::{Watched, Which, say};
use picture::{Title, draw};
use reading::Reading;

const SECOND: Duration = Duration::from_secs(1);

/// Where the width is not known.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Another screen, without a cursor; and the one from before.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// How `doorway top` shows it.
#[derive(Debug, Args)]
pub struct TopOptions {
    #[command(flatten)]
    which: Which,
    /// Show one second of it and end, as where standard output is no terminal
    #[arg(long)]
    once: bool,
}

/// Shows it, until it is interrupted.
///
/// # Errors
/// A sentence: there is no such door, or it cannot be asked.
pub fn top(top: &TopOptions) -> Result<ExitCode, String> {
    let door = Watched::find(&top.which)?;
    // What is wrong at the start is said where it can be read.
    let (title, first) = look(&door)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    if top.once || !io::stdout().is_terminal() {
        // Within the runtime, whose clock it goes by.
        runtime.block_on(async { tokio::time::sleep(SECOND).await });
        let (title, now) = look(&door)?;
        say(&format!("{}\n", draw(&title, &first, &now, size().0).join("\n")));
        return Ok(ExitCode::SUCCESS);
    }
    let shown = runtime.block_on(watch(door, title, first));
    // A question that nobody waits for any more is not waited for either.
    runtime.shutdown_background();
    shown.map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string())
}

/// Asks once.
fn look(door: &Watched) -> Result<(Title, Reading), String> {
    let reading = Reading::read(&door.get("/metrics")?);
    if !reading.is_door() {
        return Err("what answers there is no door".to_owned());
    }
    let title = Title { urls: door.urls(), pid: door.pid(), state: door.state()? };
    Ok((title, reading))
}

/// The other screen, which is left whatever happens.
struct Stage;

impl Stage {
    fn enter() -> io::Result<Stage> {
        show(ENTER)?;
        Ok(Stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = show(LEAVE);
    }
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

async fn watch(door: Watched, mut title: Title, mut before: Reading) -> io::Result<()> {
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(interrupt), Ok(terminate), Ok(hangup)] = &mut ends else {
        return Err(io::Error::other("cannot hear signals"));
    };
    let mut resized = signal(SignalKind::window_change())?;
    let _stage = Stage::enter()?;
    let door = std::sync::Arc::new(door);
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut now = before.clone();
    let mut asked = None;
    loop {
        // Not into the last column: some terminals wrap behind it.
        paint(&draw(&title, &before, &now, size().0.saturating_sub(1)))?;
        tokio::select! {
            _ = ticks.tick(), if asked.is_none() => {
                let door = std::sync::Arc::clone(&door);
                asked = Some(spawn_blocking(move || look(&door)));
            }
            answer = async { asked.as_mut().expect("it was asked").await }, if asked.is_some() => {
                asked = None;
                match answer.unwrap_or_else(|error| Err(error.to_string())) {
                    Ok((named, reading)) => {
                        title = named;
                        before = std::mem::replace(&mut now, reading);
                        // The door was started anew, and counts from 0.
                        if now.total("process_uptime_seconds") < before.total("process_uptime_seconds") {
                            before = now.clone();
                        }
                    }
                    // It may be on its way back; the numbers are the last that were known.
                    Err(why) => title.state = why.lines().next().unwrap_or_default().to_owned(),
                }
            }
            _ = resized.recv() => {}
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// Over what is there, so that nothing flickers; what does not fit below is left out.
fn paint(lines: &[String]) -> io::Result<()> {
    let mut text = String::from("\x1b[H");
    for (row, line) in lines.iter().take(size().1).enumerate() {
        text.push_str(if row == 0 { "" } else { "\r\n" });
        text.push_str(line);
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    show(&text)
}

/// Columns and rows.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL_SIZE,
    }
}
