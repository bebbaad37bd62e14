//! Where documents are: with a door that runs, which is asked, or in a folder that nobody has open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::asked;
use crate::config::Config;
use crate::documents::{self, Backup, RoomSize, Store, StoreKind};
use crate::realtime::hub::Hub;
use crate::realtime::hub::documents::ArchiveForm;
use crate::realtime::vocabulary::{Channel, DisconnectReason};
use crate::server::ask::{Which, owners_door};
use crate::server::runtime::runtime;

/// Channels that are listed at once.
const PAGE: usize = 1_000;

/// Where documents are.
pub enum Place {
    /// The socket of the door.
    Door(PathBuf),
    AtRest(Arc<Hub>),
}

impl Place {
    /// Looks for it.
    ///
    /// # Errors
    /// A sentence: there is none, or several may be meant.
    pub fn find(config: Option<&Path>, folder: Option<&Path>) -> Result<Place, String> {
        let config = match folder {
            Some(folder) => {
                let dir = Some(folder.to_owned());
                Config { documents: documents::Config { dir, ..documents::Config::default() }, ..Config::default() }
            }
            None => match owners_door(&Which::config(config))? {
                Ok(socket) => return Ok(Place::Door(socket)),
                Err(config) => *config,
            },
        };
        if config.documents.kind(config.realtime.has_peers()) == StoreKind::Redis && folder.is_none() {
            let what = "documents are in Redis, and no door runs here that could be asked: start one, or name a folder by \
                --folder DIR";
            return Err(what.to_owned());
        }
        let store = Store::new(&config.documents);
        match store.folder() {
            Some(folder) if !folder.exists() => Err(format!(
                "no door runs, and there are no documents in {}: say whose are meant by --config FILE or --folder DIR",
                folder.display()
            )),
            _ => Ok(Place::AtRest(Hub::at_rest(&config.realtime.hub, store))),
        }
    }

    /// The folder that is meant, whoever uses it.
    ///
    /// # Errors
    /// A sentence.
    pub fn folder(config: Option<&Path>, folder: Option<&Path>) -> Result<PathBuf, String> {
        if let Some(folder) = folder {
            return Ok(folder.to_owned());
        }
        let config = Which::config(config).load()?;
        if config.documents.kind(config.realtime.has_peers()) == StoreKind::Redis {
            return Err(documents::StoreError::NotHere.to_string());
        }
        config.documents.folder().ok_or_else(|| documents::StoreError::NoFolder.to_string())
    }

    pub fn list(&self, prefix: &str, after: Option<&str>) -> Result<(Vec<RoomSize>, bool), String> {
        match self {
            Place::Door(socket) => asked::list(socket, prefix, after),
            Place::AtRest(hub) => {
                let sizes = run(hub.list_documents(prefix.to_owned(), after.map(str::to_owned), PAGE))?;
                let is_more = sizes.len() == PAGE;
                Ok((sizes, is_more))
            }
        }
    }

    pub fn export(&self, room: &str, is_plain: bool) -> Result<String, String> {
        match self {
            Place::Door(socket) => asked::export(socket, room, is_plain),
            Place::AtRest(hub) => {
                let form = if is_plain { ArchiveForm::PlainTree } else { ArchiveForm::Whole };
                run(hub.export_documents(channel(room)?, form))
            }
        }
    }

    /// Gives back how many rows there are.
    pub fn import(&self, room: &str, file: Vec<u8>, replaces: bool) -> Result<u64, String> {
        match self {
            Place::Door(socket) => asked::import(socket, room, &file, replaces),
            Place::AtRest(hub) => {
                let rows = run(hub.import_documents(&channel(room)?, file, replaces))?;
                save(hub)?;
                Ok(rows as u64)
            }
        }
    }

    pub fn delete(&self, room: &str) -> Result<(), String> {
        match self {
            Place::Door(socket) => asked::delete(socket, room),
            Place::AtRest(hub) => {
                run(hub.remove_documents(&channel(room)?, &DisconnectReason::Done))?;
                save(hub)
            }
        }
    }

    /// Every row of this moment.
    pub fn copy(&self, to: &mut Backup) -> Result<(), String> {
        let store = match self {
            Place::Door(socket) => return asked::copy(socket, to),
            Place::AtRest(hub) => hub.documents().map(|documents| documents.store().clone()),
        };
        let mut put = Ok(());
        let copied = store.map(|store| {
            store.copy(|key, value| {
                put = to.put(key.to_vec(), value.to_vec());
                put.is_ok()
            })
        });
        copied.transpose().and(put).map_err(|error| error.to_string())
    }
}

fn channel(room: &str) -> Result<Channel, String> {
    Channel::new(room).map_err(|error| format!("the name of the room: {error}"))
}

fn save(hub: &Hub) -> Result<(), String> {
    let saved = hub.documents().map(|documents| documents.store().sync());
    saved.transpose().map(|_| ()).map_err(|error| error.to_string())
}

fn run<T, E: ToString>(act: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    let runtime = runtime().map_err(|error| error.to_string())?;
    runtime.block_on(act).map_err(|error| error.to_string())
}
