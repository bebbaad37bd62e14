//! `doorway deploy --host`: the same command there, fed by ssh.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::releases::{Content, pack};

/// What is run there.
const COMMAND: &str = "doorway deploy -";

/// Sends `content` to `host`, and ends as the command there ends.
///
/// # Errors
/// A sentence: ssh or git cannot be run, or the content cannot be read.
pub fn deploy(content: &Content, host: &str, no_build: bool) -> Result<ExitCode, String> {
    if host.starts_with('-') {
        return Err(format!("{host:?} is no host"));
    }
    let command = if no_build { format!("{COMMAND} --no-build") } else { COMMAND.to_owned() };
    let mut ssh = Command::new("ssh");
    ssh.args([host, &command]).stdin(Stdio::piped());
    let mut ssh = ssh.spawn().map_err(|error| format!("ssh cannot be run: {error}"))?;
    let sent = ssh.stdin.take().map_or(Ok(()), |input| send(content, input));
    let status = ssh.wait().map_err(|error| format!("ssh cannot be waited for: {error}"))?;
    match (status.code(), sent) {
        (Some(0), Ok(())) => Ok(ExitCode::SUCCESS),
        // What went wrong there was said there; a pipe that broke is its echo.
        (Some(code), _) if code != 0 => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        (_, Err(error)) => Err(format!("cannot send {} to {host}: {error}", content.describe())),
        (_, Ok(())) => Err(format!("ssh ended by a signal ({status})")),
    }
}

fn send(content: &Content, mut input: std::process::ChildStdin) -> io::Result<()> {
    match content {
        Content::Folder { folder, is_built } => pack(folder, *is_built, io::BufWriter::new(input)),
        Content::Archive(file) => io::copy(&mut std::fs::File::open(PathBuf::from(file))?, &mut input).map(drop),
        Content::Input => io::copy(&mut io::stdin().lock(), &mut input).map(drop),
        Content::Commit { hash, .. } => {
            let archived = Command::new("git").args(["archive", "--format=tar", hash]).stdout(input).status()?;
            if archived.success() { Ok(()) } else { Err(io::Error::other(format!("git archive failed ({archived})"))) }
        }
    }
}
