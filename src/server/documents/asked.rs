//! A door that runs is asked for documents, over its socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::admin::{BACKUP, END, LIST, ROOM};
use crate::documents::{Backup, RoomSize};

/// How long the door may say nothing: it may have a large room to read.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The largest row that is believed, in bytes.
const MAX_ROW: u32 = 1 << 30;

pub fn list(socket: &Path, prefix: &str, after: Option<&str>) -> Result<(Vec<RoomSize>, bool), String> {
    let after = after.map_or_else(String::new, |after| format!("&after={}", encoded(after)));
    let told = json(&text(socket, &format!("GET {LIST}?prefix={}{after}", encoded(prefix)), &[])?)?;
    let size = |row: &Value| {
        Some(RoomSize { room: row[0].as_str()?.to_owned(), rows: row[1].as_u64()?, bytes: row[2].as_u64()? })
    };
    let rooms = told["rooms"].as_array().into_iter().flatten().filter_map(size).collect();
    Ok((rooms, told["more"] == true))
}

pub fn export(socket: &Path, room: &str, is_plain: bool) -> Result<String, String> {
    let form = if is_plain { "&form=json" } else { "" };
    let text = text(socket, &format!("GET {ROOM}?name={}{form}", encoded(room)), &[])?;
    Ok(text.trim_end().to_owned())
}

pub fn import(socket: &Path, room: &str, file: &[u8], replaces: bool) -> Result<u64, String> {
    let replace = if replaces { "&replace=1" } else { "" };
    let told = json(&text(socket, &format!("PUT {ROOM}?name={}{replace}", encoded(room)), file)?)?;
    Ok(told["rows"].as_u64().unwrap_or_default())
}

pub fn delete(socket: &Path, room: &str) -> Result<(), String> {
    text(socket, &format!("DELETE {ROOM}?name={}", encoded(room)), &[]).map(|_| ())
}

pub fn copy(socket: &Path, to: &mut Backup) -> Result<(), String> {
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "the door broke it off: its log says why".to_owned(),
        _ => error.to_string(),
    };
    let mut body = ask(socket, &format!("GET {BACKUP}"), &[])?;
    loop {
        let lengths = [length(&mut body).map_err(broken)?, length(&mut body).map_err(broken)?];
        if lengths[0] == END {
            return Ok(());
        }
        if lengths.iter().any(|length| *length > MAX_ROW) {
            return Err("what the door says is no backup".to_owned());
        }
        let [key, value] = lengths.map(|length| vec![0; length as usize]);
        let (mut key, mut value) = (key, value);
        body.read_exact(&mut key).and_then(|()| body.read_exact(&mut value)).map_err(broken)?;
        to.put(key, value).map_err(|error| error.to_string())?;
    }
}

fn length(body: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    body.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| "what answers is no door of this version".to_owned())
}

/// All of an answer.
fn text(socket: &Path, request: &str, body: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    ask(socket, request, body)?.read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// The body of an answer.
fn ask(socket: &Path, request: &str, body: &[u8]) -> Result<BufReader<UnixStream>, String> {
    let (status, mut answer) =
        send(socket, request, body).map_err(|error| format!("no answer from {}: {error}", socket.display()))?;
    if status == "200" {
        return Ok(answer);
    }
    let mut said = String::new();
    let _ = answer.read_to_string(&mut said);
    let why = json(&said).ok().and_then(|said| said["error"].as_str().map(str::to_owned));
    Err(why.unwrap_or_else(|| format!("the door said {status}")))
}

/// Answered until the connection ends, without chunks: so does HTTP/1.0.
fn send(socket: &Path, request: &str, body: &[u8]) -> io::Result<(String, BufReader<UnixStream>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let head = format!("{request} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    // What is too long is refused before its end.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = BufReader::new(stream);
    let mut status = String::new();
    if answer.read_line(&mut status)? == 0 {
        sent?;
    }
    let mut line = String::new();
    while answer.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        line.clear();
    }
    Ok((status.split(' ').nth(1).unwrap_or_default().to_owned(), answer))
}
