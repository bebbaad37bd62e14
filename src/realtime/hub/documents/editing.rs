//! A change of a document: applied, on disk, and only then told, all under the room's lock.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::room::{DocumentRoom, RoomState};
use super::{Documents, rows};
use crate::documents::Row;
use crate::realtime::document::tree::Op;
use crate::realtime::document::ydoc::{Coding, UpdateError};
use crate::realtime::hub::channel::{ChannelEntry, ChannelState};
use crate::realtime::hub::fanout::{DeliveryKind, Recipients};
use crate::realtime::hub::mailboxes::MailboxAddress;
use crate::realtime::hub::outbox::Item;
use crate::realtime::hub::{Hub, HubEvent};
use crate::realtime::vocabulary::{
    ConnectionId, DocumentChange, DocumentContent, DocumentQuery, DocumentState, EditOutcome, Edited, Event, Refusal,
    Signal, SignalBody, Signalled, YName, YUpdate,
};

/// What an entry of a mailbox counts that was made for its client alone: what it has asked for is not too much for it.
const OWN: u32 = 64;

/// Said of a document more than a channel may have.
const TOO_MANY: Refusal = Refusal::TooMany { wait: Duration::ZERO };

impl Hub {
    /// Changes the documents of a room, for `author` where it is a client. All who edit there hear of it.
    ///
    /// # Errors
    /// [`Refusal`]: what cannot be understood, is too big, or cannot be put on disk.
    pub fn edit_document(
        &self,
        room: &DocumentRoom,
        author: Option<ConnectionId>,
        (change, echo): (DocumentChange, bool),
    ) -> Result<(), Refusal> {
        let documents = self.documents().ok_or(Refusal::Unknown)?;
        let mut state = room.state.lock();
        if state.is_broken {
            return Err(Refusal::Unavailable);
        }
        match change {
            DocumentChange::Tree(ops) => self.edit_tree(documents, room, &mut state, author, ops),
            DocumentChange::Yjs { name, update, coding } => {
                let but = author.filter(|_| !echo);
                self.edit_yjs(documents, room, &mut state, (name, update, coding), but)
            }
        }
    }

    pub(super) fn edit_tree(
        &self,
        documents: &Documents,
        room: &DocumentRoom,
        state: &mut RoomState,
        author: Option<ConnectionId>,
        ops: Vec<Op>,
    ) -> Result<(), Refusal> {
        let applied = state.tree.apply(ops);
        self.put_on_disk(documents, room, state, &rows::of_tree(applied.rows))?;
        let is_rejected = !applied.rejected.is_empty();
        if let Some(author) = author {
            for (ops, reason) in applied.rejected {
                self.tell_editor(author, room, EditOutcome::Rejected { ops, reason: reason.into() });
            }
        }
        if !applied.others.is_empty() {
            let outcome = EditOutcome::Tree { ops: applied.others, is_answer: false };
            self.tell_editors(room, outcome, author);
            self.emit(&HubEvent::Edited { channel: room.channel(), is_tree: true });
        }
        let Some(author) = author else {
            // Nobody is there to be told what was not done.
            return match state.limits.max_tree.bytes() {
                most if applied.heals => Err(Refusal::TooBig { most }),
                _ if is_rejected => Err(Refusal::Malformed("some of the operations cannot be understood here".into())),
                _ => Ok(()),
            };
        };
        if !applied.author.is_empty() {
            self.tell_editor(author, room, EditOutcome::Tree { ops: applied.author, is_answer: true });
        }
        if applied.heals {
            self.push_document(author, room, DocumentContent::Tree(state.tree.nodes().collect()));
        }
        Ok(())
    }

    fn edit_yjs(
        &self,
        documents: &Documents,
        room: &DocumentRoom,
        state: &mut RoomState,
        (name, update, coding): (YName, Bytes, Coding),
        but: Option<ConnectionId>,
    ) -> Result<(), Refusal> {
        let most = state.limits.max_yjs.bytes();
        let compared = state.compared;
        let document = state.yjs_mut(&name).ok_or(TOO_MANY)?;
        let merged = document.apply(&update, coding).map_err(|error| refusal(&error, most))?;
        let hashes = compared.hashes(document);
        let rows = rows::of_yjs(name.as_deref().unwrap_or_default(), merged.rows);
        self.put_on_disk(documents, room, state, &rows)?;
        self.tell_editors(room, EditOutcome::Yjs(YUpdate { name, update, coding, hashes }), but);
        if merged.changed {
            self.emit(&HubEvent::Edited { channel: room.channel(), is_tree: false });
        }
        Ok(())
    }

    /// Empties the tree, and has all who edit there take over what is left: nothing.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it cannot be put on disk.
    pub fn clear_tree(&self, room: &DocumentRoom) -> Result<(), Refusal> {
        let documents = self.documents().ok_or(Refusal::Unknown)?;
        let mut state = room.state.lock();
        if state.is_broken {
            return Err(Refusal::Unavailable);
        }
        let rows = rows::of_tree(state.tree.clear());
        self.put_on_disk(documents, room, &mut state, &rows)?;
        self.push_tree_to_all(room, &state);
        self.emit(&HubEvent::Edited { channel: room.channel(), is_tree: true });
        Ok(())
    }

    /// Tells one who edits what a document is like, behind all that it has been told.
    ///
    /// # Errors
    /// [`Refusal`]: what it asks cannot be understood.
    pub fn fetch_document(
        &self,
        room: &DocumentRoom,
        reader: ConnectionId,
        what: DocumentQuery,
    ) -> Result<(), Refusal> {
        let mut state = room.state.lock();
        let content = match what {
            DocumentQuery::Marks(kind) => {
                let marks = state.marks.shown(kind);
                let body = SignalBody::Marks(marks);
                let signal = Signalled { channel: room.channel().clone(), kind, body };
                self.push_to(reader, Item::Event(Arc::new(Event::Signal(Arc::new(signal)))), OWN);
                return Ok(());
            }
            DocumentQuery::Tree => DocumentContent::Tree(state.tree.nodes().collect()),
            DocumentQuery::Yjs { name, vector, coding, compares } => {
                let most = state.limits.max_yjs.bytes();
                state.compared.also(compares);
                let compared = state.compared;
                let document = state.yjs_mut(&name).ok_or(TOO_MANY)?;
                let update = document.diff(&vector, coding).map_err(|error| refusal(&error, most))?;
                let (hashes, vector) = (compared.hashes(document), document.state_vector());
                let lacking = YUpdate { name, update: update.into(), coding, hashes };
                DocumentContent::Yjs { lacking, vector: vector.into() }
            }
        };
        self.push_document(reader, room, content);
        Ok(())
    }

    /// Shows a signal to all others who edit there, or to the one it is for.
    ///
    /// # Errors
    /// [`Refusal`]: more marks than there may be.
    pub(in crate::realtime::hub) fn signal_from(
        &self,
        room: &DocumentRoom,
        from: ConnectionId,
        signal: Signal,
    ) -> Result<(), Refusal> {
        let Signal { channel, kind, body, .. } = signal;
        match body {
            SignalBody::Words { to: Some(editor), data } => {
                let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let signal = Signalled { channel, kind, body: SignalBody::Words { to: Some(editor), data } };
                if let Some(connection) = room.connection_of(editor) {
                    self.push_to(connection, Item::Event(Arc::new(Event::Signal(Arc::new(signal)))), bytes);
                }
            }
            SignalBody::Words { .. } => {
                self.show_room(room, Signalled { channel, kind, body }, from);
            }
            SignalBody::Marks(marks) => {
                let mut state = room.state.lock();
                // What all know already is told to nobody: clients say again what they hear.
                let news = state.marks.show(kind, from, marks).ok_or(TOO_MANY)?;
                if !news.is_empty() {
                    let body = SignalBody::Marks(news);
                    self.show_room(room, Signalled { channel, kind, body }, from);
                }
            }
        }
        Ok(())
    }

    /// This connection edits no more: what it showed is shown no longer.
    pub(in crate::realtime::hub) fn editor_left(&self, room: &DocumentRoom, connection: ConnectionId) {
        let mut state = room.state.lock();
        state.goes(connection);
        for (kind, marks) in state.marks.forget(connection) {
            let (channel, body) = (room.channel().clone(), SignalBody::Marks(marks));
            self.show_room(room, Signalled { channel, kind, body }, connection);
        }
    }

    /// Rows go to disk before anybody hears of them. Where they cannot, the room is over: its editors are sent away, and
    /// whoever comes next reads what is on disk.
    fn put_on_disk(
        &self,
        documents: &Documents,
        room: &DocumentRoom,
        state: &mut RoomState,
        rows: &[Row],
    ) -> Result<(), Refusal> {
        if rows.is_empty() {
            return Ok(());
        }
        let Err(error) = documents.store().commit(room.channel().as_str(), rows) else {
            documents.metrics.edits.inc();
            return Ok(());
        };
        state.is_broken = true;
        documents.failed(room, &error);
        documents.set_aside(room);
        self.tell_editors(room, EditOutcome::Failed, None);
        Err(Refusal::Unavailable)
    }

    fn tell_editors(&self, room: &DocumentRoom, outcome: EditOutcome, but: Option<ConnectionId>) {
        let edited = Edited { channel: room.channel().clone(), outcome };
        self.tell_room(room, &Event::Edited(Arc::new(edited)), but);
    }

    fn tell_editor(&self, editor: ConnectionId, room: &DocumentRoom, outcome: EditOutcome) {
        let edited = Edited { channel: room.channel().clone(), outcome };
        self.push_to(editor, Item::Event(Arc::new(Event::Edited(Arc::new(edited)))), OWN);
    }

    fn push_document(&self, reader: ConnectionId, room: &DocumentRoom, content: DocumentContent) {
        let state = DocumentState { channel: room.channel().clone(), content };
        self.push_to(reader, Item::Event(Arc::new(Event::Document(Box::new(state)))), OWN);
    }

    fn push_tree_to_all(&self, room: &DocumentRoom, state: &RoomState) {
        let content = DocumentContent::Tree(state.tree.nodes().collect());
        let state = DocumentState { channel: room.channel().clone(), content };
        self.tell_room(room, &Event::Document(Box::new(state)), None);
    }

    fn tell_room(&self, room: &DocumentRoom, event: &Event, but: Option<ConnectionId>) {
        self.tell(room, event, but, DeliveryKind::Notice);
    }

    fn show_room(&self, room: &DocumentRoom, signalled: Signalled, but: ConnectionId) {
        self.tell(room, &Event::Signal(Arc::new(signalled)), Some(but), DeliveryKind::Passing);
    }

    fn tell(&self, room: &DocumentRoom, event: &Event, but: Option<ConnectionId>, kind: DeliveryKind) {
        self.with_channel(room.channel(), |entry: &Arc<ChannelEntry>, mut state| {
            let state: &mut ChannelState = &mut state;
            let config = self.config();
            let recipients = Recipients { but: but.map(MailboxAddress::of), ..Recipients::default() };
            self.fan_out_with(&config.outbox).fan_out(entry, state, event, kind, recipients);
        });
    }
}

fn refusal(error: &UpdateError, most: usize) -> Refusal {
    match error {
        UpdateError::TooBig => Refusal::TooBig { most },
        UpdateError::Malformed(_) => Refusal::Malformed(error.to_string().into()),
    }
}
