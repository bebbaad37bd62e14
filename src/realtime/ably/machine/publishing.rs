//! What a client says, and how it is acknowledged: in its order, with nothing left out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::attachment::{mode, qualified};
use super::{AblyMachine, NUMBERED, Opening};
use crate::realtime::ably::amending::{Speaking, check_alone, denied};
use crate::realtime::ably::apps::ClientId;
use crate::realtime::ably::capability::Operation;
use crate::realtime::ably::wire::Weighed;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::message::AblyMessage;
use crate::realtime::ably::wire::protocol::{PublishReceipt, PublishResult, SaidFrame, ToldFrame, action};
use crate::realtime::ably::wire::serial;
use crate::realtime::dialect::Step;
use crate::realtime::vocabulary::{
    Channel, Command, Draft, Frame, Moment, PublishSeveral, Receipt, Ref, Speaker, TokenBucket,
};

/// Frames that are not acknowledged yet, at most: each waits for the one before it.
const MAX_PENDING: usize = 1_024;

/// A frame that the client waits to be told of.
pub struct Pending {
    serial: u64,
    /// Its commands, by their tickets, that nothing is known of yet.
    tickets: Vec<Ref>,
    outcome: Result<Vec<Option<String>>, AblyError>,
    /// ToldFrame before that it is done.
    echo: Option<Frame>,
}

impl AblyMachine {
    pub(super) fn publish(&mut self, said: SaidFrame, now: Moment, step: &mut Step) {
        let serial = said.msg_serial;
        let several = self.messages(said, now);
        self.say(serial, several, step);
    }

    pub(super) fn annotate(&mut self, said: SaidFrame, now: Moment, step: &mut Step) {
        let serial = said.msg_serial;
        let several = self.annotations(said, now);
        self.say(serial, several, step);
    }

    fn say(&mut self, serial: Option<u64>, several: Result<PublishSeveral, AblyError>, step: &mut Step) {
        match several {
            Ok(mut several) => {
                let ticket = self.ticket();
                several.ticket = ticket;
                if self.await_outcome(serial, vec![ticket], None, step) {
                    step.command(Command::PublishSeveral(Box::new(several)));
                }
            }
            Err(error) => self.not_done(serial, error, step),
        }
    }

    fn messages(&mut self, said: SaidFrame, now: Moment) -> Result<PublishSeveral, AblyError> {
        let written = said.channel.unwrap_or_default();
        let (_, name) = qualified(&written)?;
        let channel = self.opening.app.channel(name)?;
        let messages = said.messages.unwrap_or_default().0;
        if messages.iter().any(|message| matches!(message.change(), Ok(None))) {
            self.may(&channel, mode::PUBLISH)?;
        }
        self.check_rate(&messages, now)?;
        let (drafts, speakers) = self.drafts(name, messages, said.msg_serial.unwrap_or_default())?;
        check_alone(&drafts)?;
        Ok(self.several(channel, drafts, speakers))
    }

    fn annotations(&mut self, said: SaidFrame, now: Moment) -> Result<PublishSeveral, AblyError> {
        let written = said.channel.unwrap_or_default();
        let (_, name) = qualified(&written)?;
        let channel = self.opening.app.channel(name)?;
        if !self.opening.auth.capability.allows(Operation::AnnotationPublish, name) {
            return Err(denied(Operation::AnnotationPublish));
        }
        self.may(&channel, mode::ANNOTATION_PUBLISH)?;
        let annotations = said.annotations.unwrap_or_default().0;
        self.check_rate(&annotations, now)?;
        let serial = said.msg_serial.unwrap_or_default();
        let opened = &self.opening.opened;
        let mut speakers = Vec::with_capacity(annotations.len());
        let mut drafts = Vec::with_capacity(annotations.len());
        for (index, mut annotation) in annotations.into_iter().enumerate() {
            let user = self.speaks_as(annotation.client_id.take().as_deref())?;
            speakers.push(Speaker { user, connection: None });
            drafts.push(annotation.draft(|| format!("{}:{serial}:{index}", opened.id), Some(&opened.id))?);
        }
        check_alone(&drafts)?;
        Ok(self.several(channel, drafts, speakers))
    }

    fn check_rate(&mut self, said: &[impl Weighed], now: Moment) -> Result<(), AblyError> {
        let settings = self.opening.app.settings();
        check_size(said, settings.max_message.bytes())?;
        let rate = f64::from(settings.message_rate);
        let bucket = self.bucket.get_or_insert_with(|| Box::new(TokenBucket::full(rate, now.instant)));
        if rate > 0.0 && bucket.take(1.0, rate, now.instant).is_err() {
            let words = format!("Rate limit exceeded: more than {rate} messages a second of one connection");
            return Err(AblyError::new(42911, 429, words));
        }
        Ok(())
    }

    fn several(&self, channel: Channel, drafts: Vec<Draft>, speakers: Vec<Speaker>) -> PublishSeveral {
        let (echo, retain) = (self.manner.echo, self.opening.app.settings().retain);
        PublishSeveral { ticket: 0, channel, drafts, echo, retain, speakers }
    }

    fn drafts(
        &self,
        name: &str,
        messages: Vec<AblyMessage>,
        serial: u64,
    ) -> Result<(Vec<Draft>, Vec<Speaker>), AblyError> {
        let Opening { opened, connections, app, .. } = &*self.opening;
        let mut speakers = Vec::with_capacity(messages.len());
        let mut drafts = Vec::with_capacity(messages.len());
        for (index, mut message) in messages.into_iter().enumerate() {
            let said_by = message.take_speaker();
            let key = message.connection_key.take();
            let (who, connection) = match key {
                None => {
                    let user = self.speaks_as(said_by.as_deref())?;
                    (Speaker { user, connection: None }, Arc::clone(&opened.id))
                }
                Some(key) => {
                    let meant = connections.represented(&key, app.id())?;
                    (Speaker { user: meant.client, connection: meant.connection }, meant.id)
                }
            };
            let id = || format!("{}:{serial}:{index}", opened.id);
            let speaking = Speaking { may: &self.opening.auth.capability, name, user: who.user.as_ref() };
            drafts.push(speaking.draft(message, id, Some(&connection))?);
            speakers.push(who);
        }
        Ok((drafts, speakers))
    }

    /// As whom it speaks, where it says `client`.
    ///
    /// # Errors
    /// 40012: as somebody that it is not.
    pub(super) fn speaks_as(&self, client: Option<&str>) -> Result<Option<Arc<str>>, AblyError> {
        let Opening { auth, client: own, .. } = &*self.opening;
        let wrong = |words: &str| Err(AblyError::new(40012, 400, words));
        match (client, own) {
            (Some("*"), _) => wrong("Invalid clientId: * is nobody's"),
            (None, own) => Ok(own.clone()),
            (Some(client), Some(own)) if *client == **own => Ok(Some(Arc::clone(own))),
            (Some(_), Some(_)) => wrong("Invalid clientId: it is not that of the connection"),
            (Some(client), None) if matches!(auth.client_id, ClientId::Any | ClientId::Free) => Ok(Some(client.into())),
            (Some(_), None) => wrong("Invalid clientId: the connection has none"),
        }
    }

    /// May it do in `channel` what `bit` says? Its modes there say so, where it is attached.
    pub(super) fn may(&self, channel: &Channel, bit: u64) -> Result<(), AblyError> {
        let denied = || AblyError::new(40160, 401, "The channel's modes do not allow this");
        match self.channels.get(channel) {
            Some(attachment) if attachment.modes & bit == 0 => Err(denied()),
            _ => Ok(()),
        }
    }

    pub(super) fn ticket(&mut self) -> Ref {
        self.next_ticket = self.next_ticket.wrapping_add(1).max(NUMBERED);
        self.next_ticket
    }

    /// The frame `serial` is done when these commands are. False where too many wait already.
    pub(super) fn await_outcome(
        &mut self,
        serial: Option<u64>,
        tickets: Vec<Ref>,
        echo: Option<Frame>,
        step: &mut Step,
    ) -> bool {
        // One without a number wants no answer.
        let Some(serial) = serial else { return true };
        if self.pending.as_ref().is_some_and(|pending| pending.len() >= MAX_PENDING) {
            self.not_done(Some(serial), AblyError::new(42911, 429, "Too many messages wait to be acknowledged"), step);
            return false;
        }
        self.pending().push_back(Pending { serial, tickets, outcome: Ok(Vec::new()), echo });
        true
    }

    /// Nothing comes of the frame `serial`.
    pub(super) fn not_done(&mut self, serial: Option<u64>, error: AblyError, step: &mut Step) {
        let Some(serial) = serial else { return };
        self.pending().push_back(Pending { serial, tickets: Vec::new(), outcome: Err(error), echo: None });
        self.acknowledge(step);
    }

    fn pending(&mut self) -> &mut VecDeque<Pending> {
        self.pending.get_or_insert_default()
    }

    /// What came of a command.
    pub(super) fn settled(&mut self, ticket: Ref, outcome: Result<&[Receipt], AblyError>, step: &mut Step) {
        let of_ticket = |pending: &&mut Pending| pending.tickets.contains(&ticket);
        let Some(pending) = self.pending().iter_mut().find(of_ticket) else { return };
        pending.tickets.retain(|known| *known != ticket);
        match (outcome, &mut pending.outcome) {
            (Ok(receipts), Ok(serials)) => serials.extend(receipts.iter().map(|receipt| serial::of(*receipt))),
            (Err(error), outcome @ Ok(_)) => *outcome = Err(error),
            (_, Err(_)) => {}
        }
        self.acknowledge(step);
    }

    /// Tells of all frames that are done and have none before them that is not.
    fn acknowledge(&mut self, step: &mut Step) {
        while self.pending().front().is_some_and(|pending| pending.tickets.is_empty()) {
            let Some(Pending { serial, outcome, echo, .. }) = self.pending().pop_front() else { return };
            if let Some(echo) = echo.filter(|_| outcome.is_ok()) {
                step.send(echo);
            }
            let (action, res, error) = match &outcome {
                Ok(serials) => (action::ACK, Some([PublishResult { serials }]), None),
                Err(error) => (action::NACK, None, Some(error)),
            };
            let receipt = Some(PublishReceipt { msg_serial: serial, count: 1, res });
            self.tell(&ToldFrame { action, receipt, error, ..ToldFrame::default() }, step);
        }
    }
}

/// What is published at once must not be longer than `most` bytes.
///
/// # Errors
/// 40009.
pub fn check_size<T: Weighed>(said: &[T], most: usize) -> Result<(), AblyError> {
    let size: usize = said.iter().map(T::size).sum();
    if size > most {
        let words = format!(
            "Maximum size of messages that can be published at once exceeded (was {size} bytes; limit is {most} bytes)"
        );
        return Err(AblyError::new(40009, 400, words));
    }
    Ok(())
}
