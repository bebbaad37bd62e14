//! A channel's documents as one file, for who runs the door: every row, and for people what the rows say.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::room::RoomState;
use super::rows::{RowOf, editors_key, row_of};
use super::{DocumentMetrics, Documents, OpenError};
use crate::documents::{RoomSize, Store, StoreError, StoredRow, Tenure};
use crate::realtime::document::ydoc::Coding;
use crate::realtime::hub::document_limits::DocumentLimits;
use crate::realtime::hub::{Config, Hub, HubEvent, Metrics};
use crate::realtime::vocabulary::{Channel, DisconnectReason};

/// The form of the file.
const VERSION: u32 = 1;
/// Under which the tree says what a node is.
const TAG: &str = "$type";

/// Why documents cannot become a file, or a file documents.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("there are no documents of {0:?}")]
    Absent(Channel),
    #[error("{0:?} has documents already: say --replace to put these in their place")]
    Taken(Channel),
    #[error("this is no file of documents: {0}")]
    Malformed(String),
    #[error("{0}")]
    Open(#[from] OpenError),
}

impl From<StoreError> for ArchiveError {
    fn from(error: StoreError) -> ArchiveError {
        ArchiveError::Open(OpenError::Store(error))
    }
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveForm {
    /// All of it, so that it can be imported.
    Whole,
    /// The tree alone, as plain JSON.
    PlainTree,
}

#[derive(Serialize, Deserialize)]
struct Archive {
    /// Its form.
    documents: u32,
    channel: String,
    /// These four are for people: what is imported are the rows.
    #[serde(default)]
    tree: Option<Box<RawValue>>,
    #[serde(default)]
    yjs: BTreeMap<String, String>,
    #[serde(default)]
    editors: u64,
    #[serde(default)]
    others: BTreeMap<String, Box<RawValue>>,
    rows: Vec<(String, String)>,
}

impl Hub {
    /// One without clients, for documents of which no door has the store open.
    pub fn at_rest(config: &Config, store: Store) -> Arc<Hub> {
        let mut registry = Registry::default();
        let hub = Hub::new(config.clone(), 1, Metrics::new(&mut registry));
        let metrics = DocumentMetrics::new(&mut registry);
        hub.keep_documents(Arc::new(Documents::new(store, config.documents.clone(), metrics)));
        Arc::new(hub)
    }

    /// How much channels have on disk, by name; see [`Store::sizes`].
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn list_documents(
        &self,
        prefix: String,
        after: Option<String>,
        most: usize,
    ) -> Result<Vec<RoomSize>, ArchiveError> {
        self.at_store(move |store, _| Ok(store.sizes(&prefix, after.as_deref(), most)?)).await
    }

    /// What a channel has on disk, as a file.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn export_documents(&self, channel: Channel, form: ArchiveForm) -> Result<String, ArchiveError> {
        self.at_store(move |store, limits| {
            let rows = store.load(channel.as_str())?;
            if rows.is_empty() {
                return Err(ArchiveError::Absent(channel));
            }
            write(&channel, rows, limits, form).map_err(|what| ArchiveError::Open(OpenError::Damaged { channel, what }))
        })
        .await
    }

    /// Has a channel have what a file says, and nothing else. Who edits there comes back, and takes it over. Where there are
    /// documents already it `replaces` them, or is refused. Gives back how many rows there are.
    ///
    /// # Errors
    /// [`ArchiveError`]: nothing was changed, unless it is one of the store's: then nobody knows.
    pub async fn import_documents(
        &self,
        channel: &Channel,
        file: Vec<u8>,
        replaces: bool,
    ) -> Result<usize, ArchiveError> {
        let mut rows = self.at_store(move |_, limits| read(&file, limits)).await?;
        let Some(documents) = self.documents() else { return Err(OpenError::Store(StoreError::NoFolder).into()) };
        // Whoever has it keeps it where nothing is to be done.
        let name = channel.clone();
        let is_taken = self.at_store(move |store, limits| {
            Ok(store.is_shared() && !replaces && has_content(store.load(name.as_str())?, limits))
        });
        if is_taken.await? {
            return Err(ArchiveError::Taken(channel.clone()));
        }
        let lease = match documents.seize(channel, &DisconnectReason::Failed).await {
            Ok(lease) => Some(lease),
            Err(OpenError::Damaged { .. }) if replaces => None,
            Err(error) => return Err(error.into()),
        };
        let (name, limits, count) = (channel.clone(), documents.limits(), rows.len());
        let act = move |store: &Store, tenure: &Tenure| {
            let known = store.load(name.as_str())?;
            if !replaces && has_content(known.clone(), &limits) {
                return Ok(false);
            }
            keep_numbers(&known, &mut rows);
            tenure.replace(rows)?;
            Ok(true)
        };
        let editors = self.close_documents(documents, channel, lease.as_ref(), act).await?;
        let editors = editors.ok_or_else(|| ArchiveError::Taken(channel.clone()))?;
        [true, false].into_iter().for_each(|is_tree| self.emit(&HubEvent::Edited { channel, is_tree }));
        self.send_away(editors, &DisconnectReason::Failed);
        Ok(count)
    }

    /// Takes away all that a channel has on disk; see [`Hub::delete_documents`].
    ///
    /// # Errors
    /// [`ArchiveError`]: there was nothing, too.
    pub async fn remove_documents(&self, channel: &Channel, why: &DisconnectReason) -> Result<(), ArchiveError> {
        let name = channel.clone();
        if !self.at_store(move |store, _| Ok(store.has(name.as_str())?)).await? {
            return Err(ArchiveError::Absent(channel.clone()));
        }
        Ok(self.delete_documents(channel, why).await?)
    }

    /// Looks at the store where waiting for the disk keeps nobody waiting.
    async fn at_store<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Store, &Arc<DocumentLimits>) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let Some(documents) = self.documents() else { return Err(OpenError::Store(StoreError::NoFolder).into()) };
        let limits = documents.limits();
        let done = documents.store().run(move |store| act(store, &limits)).await;
        done.unwrap_or_else(|stopped| Err(ArchiveError::Malformed(format!("it has stopped us: {stopped}"))))
    }
}

/// Whether rows are of any document: one that was looked at alone has none.
fn has_content(rows: Vec<StoredRow>, limits: &Arc<DocumentLimits>) -> bool {
    let has_yjs = rows.iter().any(|(key, _)| matches!(row_of(key), RowOf::Yjs { .. }));
    has_yjs || RoomState::load(rows, limits).map_or(true, |room| !room.tree.is_empty())
}

/// Editors' numbers are never given twice, whatever an older file says.
fn keep_numbers(known: &[StoredRow], rows: &mut Vec<StoredRow>) {
    let key = editors_key();
    let Some((_, known)) = known.iter().find(|(known, _)| *known == key) else { return };
    match rows.iter_mut().find(|(row, _)| *row == key) {
        // Both are big-endian.
        Some((_, number)) if number.len() == known.len() => *number = known.max(number).clone(),
        Some(_) => {}
        None => rows.push((key, known.clone())),
    }
}

fn write(
    channel: &Channel,
    rows: Vec<StoredRow>,
    limits: &Arc<DocumentLimits>,
    form: ArchiveForm,
) -> Result<String, String> {
    let mut state = RoomState::load(rows.clone(), limits)?;
    if form == ArchiveForm::PlainTree {
        return Ok(state.tree.to_json());
    }
    let tree = RawValue::from_string(state.tree.to_typed_json(TAG)).map_err(|error| format!("its tree: {error}"))?;
    let mut yjs = BTreeMap::new();
    for (name, document) in &mut state.yjs {
        let whole = document.diff(&[], Coding::V1);
        let whole = whole.map_err(|error| format!("its document of Yjs {name:?}: {error}"))?;
        yjs.insert(name.to_string(), STANDARD.encode(whole));
    }
    let (mut others, mut editors) = (BTreeMap::new(), 0);
    for (key, value) in &rows {
        match row_of(key) {
            RowOf::Editors => editors = value.as_slice().try_into().map_or(0, u64::from_be_bytes),
            RowOf::Other => {
                let said =
                    serde_json::from_slice::<Box<RawValue>>(value).or_else(|_| to_raw_value(&STANDARD.encode(value)));
                others.extend(said.ok().map(|said| (String::from_utf8_lossy(key).into_owned(), said)));
            }
            RowOf::Tree(_) | RowOf::Yjs { .. } => {}
        }
    }
    let encoded = |(key, value): &StoredRow| (STANDARD.encode(key), STANDARD.encode(value));
    let rows = rows.iter().map(encoded).collect();
    let channel = channel.as_str().to_owned();
    let archive = Archive { documents: VERSION, channel, tree: Some(tree), yjs, editors, others, rows };
    serde_json::to_string(&archive).map_err(|error| error.to_string())
}

/// The rows of a file, of which a room can be made.
fn read(file: &[u8], limits: &Arc<DocumentLimits>) -> Result<Vec<StoredRow>, ArchiveError> {
    let wrong = |what: String| ArchiveError::Malformed(what);
    let archive: Archive = serde_json::from_slice(file).map_err(|error| wrong(error.to_string()))?;
    if archive.documents != VERSION {
        return Err(wrong(format!("its form is {}, and {VERSION} is known", archive.documents)));
    }
    let mut rows = BTreeMap::new();
    for (number, (key, value)) in archive.rows.iter().enumerate() {
        let decoded = |text: &str| STANDARD.decode(text).map_err(|error| wrong(format!("row {number}: {error}")));
        if rows.insert(decoded(key)?, decoded(value)?).is_some() {
            return Err(wrong(format!("row {number}: its key was there already")));
        }
    }
    if rows.is_empty() {
        return Err(wrong("it has no rows".to_owned()));
    }
    let rows: Vec<StoredRow> = rows.into_iter().collect();
    RoomState::load(rows.clone(), limits).map_err(wrong)?;
    Ok(rows)
}
