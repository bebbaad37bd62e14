//! A change of a document: applied, kept, and only then told, in the order of the room's lock.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::queue::Telling;
use super::room::{DocumentRoom, RoomState};
use super::{Documents, rows};
use crate::realtime::document::tree::Op;
use crate::realtime::document::ydoc::{Coding, UpdateError};
use crate::realtime::hub::Hub;
use crate::realtime::hub::channel::{ChannelEntry, ChannelState};
use crate::realtime::hub::fanout::{DeliveryKind, Recipients};
use crate::realtime::hub::mailboxes::MailboxAddress;
use crate::realtime::hub::outbox::Item;
use crate::realtime::hub::sync::MutexGuard;
use crate::realtime::vocabulary::{
    ConnectionId, DocumentChange, DocumentContent, DocumentQuery, DocumentState, EditOutcome, Edited, Event, Refusal,
    Signal, SignalBody, Signalled, YName, YUpdate,
};

/// Said of a document more than a channel may have.
const TOO_MANY: Refusal = Refusal::TooMany { wait: Duration::ZERO };

impl Hub {
    /// Changes the documents of a room, for `author` where it is a client. All who edit there hear of it. Where it is not
    /// kept after all, the room is over, see [`DocumentRoom::settled`].
    ///
    /// # Errors
    /// [`Refusal`]: what cannot be understood, is too big, or cannot be kept.
    pub fn edit_document(
        &self,
        room: &DocumentRoom,
        author: Option<ConnectionId>,
        (change, echo): (DocumentChange, bool),
    ) -> Result<(), Refusal> {
        let documents = self.documents().ok_or(Refusal::Unknown)?;
        let mut state = room.state.lock();
        state.goes_on()?;
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
        state: &mut MutexGuard<'_, RoomState>,
        author: Option<ConnectionId>,
        ops: Vec<Op>,
    ) -> Result<(), Refusal> {
        let applied = state.tree.apply(ops);
        let is_rejected = !applied.rejected.is_empty();
        let mut tellings = Vec::new();
        if let Some(author) = author {
            for (ops, reason) in applied.rejected {
                tellings.push(Telling::One(author, edited(room, EditOutcome::Rejected { ops, reason: reason.into() })));
            }
        }
        if !applied.others.is_empty() {
            let outcome = EditOutcome::Tree { ops: applied.others, is_answer: false };
            tellings.push(Telling::All(edited(room, outcome), author));
            tellings.push(Telling::Edited { is_tree: true });
        }
        if let Some(author) = author {
            if !applied.author.is_empty() {
                let outcome = EditOutcome::Tree { ops: applied.author, is_answer: true };
                tellings.push(Telling::One(author, edited(room, outcome)));
            }
            if applied.heals {
                tellings.push(Telling::One(author, document(room, whole_tree(state))));
            }
        }
        self.keep(documents, room, state, rows::of_tree(applied.rows), tellings)?;
        if author.is_some() {
            return Ok(());
        }
        // Nobody is there to be told what was not done.
        match state.limits.max_tree.bytes() {
            most if applied.heals => Err(Refusal::TooBig { most }),
            _ if is_rejected => Err(Refusal::Malformed("some of the operations cannot be understood here".into())),
            _ => Ok(()),
        }
    }

    fn edit_yjs(
        &self,
        documents: &Documents,
        room: &DocumentRoom,
        state: &mut MutexGuard<'_, RoomState>,
        (name, update, coding): (YName, Bytes, Coding),
        but: Option<ConnectionId>,
    ) -> Result<(), Refusal> {
        let most = state.limits.max_yjs.bytes();
        let compared = state.compared;
        let document = state.yjs_mut(&name).ok_or(TOO_MANY)?;
        let merged = document.apply(&update, coding).map_err(|error| refusal(&error, most))?;
        let hashes = compared.hashes(document);
        let rows = rows::of_yjs(name.as_deref().unwrap_or_default(), merged.rows);
        let outcome = EditOutcome::Yjs(YUpdate { name, update, coding, hashes });
        let mut tellings = vec![Telling::All(edited(room, outcome), but)];
        if merged.changed {
            tellings.push(Telling::Edited { is_tree: false });
        }
        self.keep(documents, room, state, rows, tellings)
    }

    /// Empties the tree, and has all who edit there take over what is left: nothing.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it cannot be kept.
    pub fn clear_tree(&self, room: &DocumentRoom) -> Result<(), Refusal> {
        let documents = self.documents().ok_or(Refusal::Unknown)?;
        let mut state = room.state.lock();
        state.goes_on()?;
        let rows = rows::of_tree(state.tree.clear());
        let told = document(room, whole_tree(&state));
        self.keep(documents, room, &mut state, rows, vec![Telling::All(told, None), Telling::Edited { is_tree: true }])
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
        let documents = self.documents().ok_or(Refusal::Unknown)?;
        let mut state = room.state.lock();
        state.goes_on()?;
        let told = match what {
            DocumentQuery::Marks(kind) => {
                let marks = state.marks.shown(kind);
                let body = SignalBody::Marks(marks);
                Event::Signal(Arc::new(Signalled { channel: room.channel().clone(), kind, body }))
            }
            DocumentQuery::Tree => document(room, whole_tree(&state)),
            DocumentQuery::Yjs { name, vector, coding, compares } => {
                let most = state.limits.max_yjs.bytes();
                state.compared.also(compares);
                let compared = state.compared;
                let yjs = state.yjs_mut(&name).ok_or(TOO_MANY)?;
                let update = yjs.diff(&vector, coding).map_err(|error| refusal(&error, most))?;
                let (hashes, vector) = (compared.hashes(yjs), yjs.state_vector());
                let lacking = YUpdate { name, update: update.into(), coding, hashes };
                document(room, DocumentContent::Yjs { lacking, vector: vector.into() })
            }
        };
        self.keep(documents, room, &mut state, Vec::new(), vec![Telling::One(reader, told)])
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

    pub(super) fn tell_editors(&self, room: &DocumentRoom, outcome: EditOutcome, but: Option<ConnectionId>) {
        self.tell_room(room, &edited(room, outcome), but);
    }

    pub(super) fn tell_room(&self, room: &DocumentRoom, event: &Event, but: Option<ConnectionId>) {
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

fn edited(room: &DocumentRoom, outcome: EditOutcome) -> Event {
    Event::Edited(Arc::new(Edited { channel: room.channel().clone(), outcome }))
}

fn document(room: &DocumentRoom, content: DocumentContent) -> Event {
    Event::Document(Box::new(DocumentState { channel: room.channel().clone(), content }))
}

fn whole_tree(state: &RoomState) -> DocumentContent {
    DocumentContent::Tree(state.tree.nodes().collect())
}

fn refusal(error: &UpdateError, most: usize) -> Refusal {
    match error {
        UpdateError::TooBig => Refusal::TooBig { most },
        UpdateError::Malformed(_) => Refusal::Malformed(error.to_string().into()),
    }
}
