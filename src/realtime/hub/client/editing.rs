//! What a client does with documents: it holds those of the channels that it edits in.

use super::{Authority, Client};
use crate::realtime::hub::documents::RoomLease;
use crate::realtime::hub::policy::Allowed;
use crate::realtime::vocabulary::{Channel, Edit, Fetch, Moment, Refusal, Signal, Word};

impl Client {
    /// It edits the documents of this lease's channel from now on, until it is gone.
    pub fn edits(&mut self, lease: RoomLease) {
        lease.room().comes(self.id);
        self.rare.get_or_insert_default().rooms.push(lease);
    }

    /// It edits nothing any more.
    pub(super) fn leave_rooms(&mut self) {
        let Some(rare) = &mut self.rare else { return };
        for lease in std::mem::take(&mut rare.rooms) {
            self.hub.editor_left(lease.room(), self.id);
        }
    }

    fn room(&self, channel: &Channel) -> Result<&RoomLease, Refusal> {
        let rooms = self.rare.as_ref().map(|rare| rare.rooms.as_slice()).unwrap_or_default();
        rooms.iter().find(|lease| lease.room().channel() == channel).ok_or(Refusal::Unknown)
    }

    /// Whether it may change the documents of `channel`. Where the app says who may publish, it is by letting in that it
    /// says who may edit: it is not asked about each change.
    pub fn may_edit(&self, channel: &Channel) -> bool {
        let rights = self.rights();
        let allowed = match self.hub.config().policy(channel).publish {
            Allowed::Anyone | Allowed::Admitted | Allowed::Reserved => true,
            Allowed::Identified => self.identity.is_some(),
            Allowed::App => rights.is_some_and(|rights| rights.word == Word::App),
        };
        allowed && rights.is_none_or(|rights| rights.may_say(channel))
    }

    /// Changes documents. What comes of it waits in the mailbox.
    ///
    /// # Errors
    /// [`Refusal`]: not allowed, too many, too big, not readable, or not to be put on disk.
    pub fn edit(&mut self, edit: Edit, authority: Authority, now: Moment) -> Result<(), Refusal> {
        if authority != Authority::App {
            if !self.may_edit(&edit.channel) {
                return Err(Refusal::Closed);
            }
            let (policy, number) = self.policy_of(&edit.channel);
            self.count(&policy, (number, 1), now.instant)?;
        }
        let room = self.room(&edit.channel)?.room();
        self.hub.edit_document(room, Some(self.id), (edit.change, edit.echo))
    }

    /// Asks for a document. It waits in the mailbox.
    ///
    /// # Errors
    /// [`Refusal`]: not allowed, or not readable.
    pub fn fetch(&self, fetch: Fetch, authority: Authority) -> Result<(), Refusal> {
        self.may_read(&fetch.channel, authority)?;
        self.hub.fetch_document(self.room(&fetch.channel)?.room(), self.id, fetch.what)
    }

    /// Shows something to others who edit there.
    ///
    /// # Errors
    /// [`Refusal`]: not allowed.
    pub fn signal(&self, signal: Signal, authority: Authority) -> Result<(), Refusal> {
        self.may_read(&signal.channel, authority)?;
        self.hub.signal_from(self.room(&signal.channel)?.room(), self.id, signal)
    }
}
