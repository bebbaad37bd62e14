//! `doorway reload`: asks the running door at its admin listener, and waits for what it says.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::source::{Overrides, Source};
use crate::admin::{AdminListen, reachable};
use crate::config::Config;

/// For a connection to a listener on this machine, and for sending the request.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the app may take to start: other orders may be before this one.
const RELOAD_MARGIN: Duration = Duration::from_secs(60);
/// How long an answer is read at most, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Asks the door that runs with the config `file` to reload.
///
/// # Errors
/// A sentence: there is no such door, it refuses the config, or the new app does not start.
pub fn reload(file: Option<PathBuf>) -> Result<ExitCode, String> {
    let mut source = Source::new(file, Overrides::default());
    let config = source.load().map_err(|error| error.to_string())?;
    let AdminListen::At(address) = config.admin.listen else {
        return Err("[admin] listen is \"off\": send SIGHUP instead, and look into the log".into());
    };
    let address = reachable(address);
    let answer =
        ask(address, reload_timeout(&config)).map_err(|error| format!("no answer from http://{address}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let told: Value = serde_json::from_str(body).unwrap_or_default();
    let is_taken = head.split(' ').nth(1) == Some("200") && told["ok"] == true;
    if !is_taken {
        let said = head.lines().next().unwrap_or_default();
        return Err(format!("not reloaded: {}", told["reason"].as_str().unwrap_or(said)));
    }
    match (&told["before"], &told["now"]) {
        (Value::String(before), Value::String(now)) => println!("reloaded, app replaced: {now}\nbefore: {before}"),
        _ => println!("reloaded, app unchanged"),
    }
    Ok(ExitCode::SUCCESS)
}

/// What the door may take: an app that is tried on several ports, or is asked to end first.
fn reload_timeout(config: &Config) -> Duration {
    config.app.start_timeout.saturating_mul(3) + config.app.stop_timeout + RELOAD_MARGIN
}

fn ask(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DIAL_TIMEOUT)?;
    stream.set_write_timeout(Some(DIAL_TIMEOUT))?;
    stream.set_read_timeout(Some(timeout))?;
    let request = format!("POST /reload HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
