//! `doorway documents`: what channels have on disk is listed, taken out, put in, taken away and copied. A door that runs is
//! asked; else the folder is opened.

mod asked;
mod place;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use super::ask::say;
use crate::disk;
use crate::documents::{self, Backup};
use place::Place;

/// What is wanted of documents, and whose they are.
#[derive(Debug, Args)]
pub struct DocumentsOptions {
    /// The config of the door that has them [default: the only door that runs, or the proxy.toml here]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Their folder, where no door uses it: a backup, say
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "config")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: DocumentsCommand,
}

#[derive(Debug, Subcommand)]
enum DocumentsCommand {
    /// List the rooms that have documents: rows, bytes before they are packed, name
    List {
        /// Those whose names begin so
        prefix: Option<String>,
    },
    /// Write all that a room has as one file of JSON
    Export {
        room: String,
        /// The file [default: standard output]
        file: Option<PathBuf>,
        /// The tree alone, as plain JSON: it cannot be imported
        #[arg(long)]
        json: bool,
    },
    /// Have a room have what an exported file says. Who edits there comes back, and takes it over
    Import {
        room: String,
        /// The file [default: standard input]
        file: Option<PathBuf>,
        /// Also where the room has documents already: they are gone then
        #[arg(long)]
        replace: bool,
    },
    /// Take away all that a room has. Who edits there is sent away
    Delete { room: String },
    /// Copy the documents of one moment, while the door runs: DIR can be put in the place of their folder
    Backup {
        /// A folder that is not there yet, or is empty
        dir: PathBuf,
    },
    /// Rename a folder of documents that is damaged, so that the door begins with none
    SetAside,
}

/// Does what `options` say.
///
/// # Errors
/// A sentence: what is wrong, and of which room.
pub fn documents(options: &DocumentsOptions) -> Result<ExitCode, String> {
    let place = || Place::find(options.config.as_deref(), options.folder.as_deref());
    match &options.command {
        DocumentsCommand::List { prefix } => list(&place()?, prefix.as_deref().unwrap_or_default())?,
        DocumentsCommand::Export { room, file, json } => {
            let text = place()?.export(room, *json)?;
            match file {
                Some(file) => disk::replace(file, text.as_bytes(), 0o600).map_err(|error| of(file, &error))?,
                None => say(&(text + "\n")),
            }
        }
        DocumentsCommand::Import { room, file, replace } => {
            let bytes = read(file.as_deref())?;
            let rows = place()?.import(room, bytes, *replace)?;
            say(&format!("imported {rows} rows into {room:?}\n"));
        }
        DocumentsCommand::Delete { room } => {
            place()?.delete(room)?;
            say(&format!("deleted {room:?}\n"));
        }
        DocumentsCommand::Backup { dir } => {
            // Before anything is made for it: there may be nothing to copy.
            let place = place()?;
            let mut backup = Backup::begin(dir).map_err(|error| error.to_string())?;
            place.copy(&mut backup)?;
            let rows = backup.finish().map_err(|error| error.to_string())?;
            say(&format!("copied {rows} rows to {}\n", dir.display()));
        }
        DocumentsCommand::SetAside => {
            let folder = Place::folder(options.config.as_deref(), options.folder.as_deref())?;
            let aside = documents::set_aside(&folder, SystemTime::now()).map_err(|error| error.to_string())?;
            say(&format!("renamed {} to {}\n", folder.display(), aside.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(place: &Place, prefix: &str) -> Result<(), String> {
    let mut after = None;
    loop {
        let (rooms, is_more) = place.list(prefix, after.as_deref())?;
        for size in &rooms {
            say(&format!("{:>9} {:>12}  {}\n", size.rows, size.bytes, size.room));
        }
        let last = rooms.into_iter().last().map(|size| size.room);
        if !is_more || last.is_none() {
            return Ok(());
        }
        after = last;
    }
}

fn read(file: Option<&Path>) -> Result<Vec<u8>, String> {
    match file {
        Some(file) => fs::read(file).map_err(|error| of(file, &error)),
        None => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
            Ok(bytes)
        }
    }
}

fn of(file: &Path, error: &io::Error) -> String {
    format!("{}: {error}", file.display())
}
