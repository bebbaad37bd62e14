//! `doorway reload` and `doorway status`: ask the running door at its admin listener, and wait for what it says.

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
    let (config, address) = door_of(file)?;
    let address = address.ok_or("[admin] listen is \"off\": send SIGHUP instead, and look into the log")?;
    let answer = ask(address, "POST /reload", reload_timeout(&config))?;
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

/// Says how the door is that runs with the config `file`: exit code 0 when it is ready.
///
/// # Errors
/// A sentence: there is no such door, or it cannot be asked.
pub fn status(file: Option<PathBuf>) -> Result<ExitCode, String> {
    let (_, address) = door_of(file)?;
    let address = address.ok_or("[admin] listen is \"off\": nobody can be asked")?;
    let told = |path: &str| -> Result<Value, String> {
        let answer = ask(address, &format!("GET {path}"), DIAL_TIMEOUT)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).map_err(|_| format!("what answers at http://{address} is no door"))
    };
    let (health, counts) = (told("/health/ready")?, told("/connections")?);
    let is_ready = health["ready"] == true;
    let reasons: Vec<_> = health["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    println!("{}", if is_ready { "ready".to_owned() } else { format!("not ready: {}", reasons.join(", ")) });
    for (kind, count) in counts.as_object().into_iter().flatten() {
        println!("{kind}: {count}");
    }
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The config that a door here runs with, and where it can be asked.
fn door_of(file: Option<PathBuf>) -> Result<(Config, Option<SocketAddr>), String> {
    let config = Source::new(file, Overrides::default()).load().map_err(|error| error.to_string())?;
    let address = match config.admin.listen {
        AdminListen::At(address) => Some(reachable(address)),
        AdminListen::Off => None,
    };
    Ok((config, address))
}

/// What the door may take: an app that is tried on several ports, or is asked to end first.
fn reload_timeout(config: &Config) -> Duration {
    config.app.start_timeout.saturating_mul(3) + config.app.stop_timeout + RELOAD_MARGIN
}

/// Sends `request`, a method and a path.
fn ask(address: SocketAddr, request: &str, timeout: Duration) -> Result<String, String> {
    exchange(address, request, timeout).map_err(|error| format!("no answer from http://{address}: {error}"))
}

fn exchange(address: SocketAddr, request: &str, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DIAL_TIMEOUT)?;
    stream.set_write_timeout(Some(DIAL_TIMEOUT))?;
    stream.set_read_timeout(Some(timeout))?;
    let request = format!("{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
