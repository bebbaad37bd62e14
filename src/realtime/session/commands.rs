//! What a client wants, written out: judged by the authorizer where it is asked, then done by the hub.

use std::task::{Context, Poll};

use super::Session;
use super::pending::PendingCommands;
use crate::realtime::entrance::authorizer::{Allow, Deciding, Decision, Left};
use crate::realtime::hub::{AckReply, Authority};
use crate::realtime::vocabulary::{Audience, Channel, Command, Event, Moment, Ref, Refusal, Word};

/// Commands that may wait while the authorizer thinks about an earlier one; with more, nothing is read.
const MAX_WAITING: usize = 64;

impl Session {
    pub(super) fn has_room_for_commands(&self) -> bool {
        self.pending.as_ref().is_none_or(|pending| pending.waiting.len() < MAX_WAITING)
    }

    /// A command of the client: after those that wait, and if the authorizer agrees.
    pub(super) fn command(&mut self, command: Command, now: Moment) {
        if let Command::Close(why) = command {
            return self.end(why, now);
        }
        if let Some(pending) = &mut self.pending {
            pending.waiting.push_back(command);
            return;
        }
        if let Some(Err(refusal)) = self.client.rights().map(|rights| command.permitted_by(rights)) {
            return self.refused(command.ticket(), command.channel().cloned(), refusal, now);
        }
        match self.ask(&command) {
            Some(asking) => {
                let may_ask = match &command {
                    Command::Publish(publish) => match &publish.audience {
                        Audience::Channel(channel) => self.client.count_publish(channel, 1, now),
                        _ => Ok(()),
                    },
                    Command::PublishSeveral(several) => {
                        self.client.count_publish(&several.channel, several.drafts.len(), now)
                    }
                    Command::Subscribe(wish) => self.client.may_ask(&wish.channel),
                    _ => Ok(()),
                };
                if let Err(refusal) = may_ask {
                    return self.refused(command.ticket(), command.channel().cloned(), refusal, now);
                }
                self.pending = Some(PendingCommands::new(asking, command));
                // It is polled before this turn ends: a turn goes on for as long as something comes.
            }
            None => self.carry_out(command, Authority::Client, now),
        }
    }

    fn ask(&self, command: &Command) -> Option<Deciding> {
        // Whoever has the app's key is the app.
        if self.client.rights().is_some_and(|rights| rights.word == Word::App) {
            return None;
        }
        let (authorizer, connection) = self.authorizer.as_ref()?;
        authorizer.authorize(connection, self.client.identity(), command)
    }

    /// Hears verdicts as they come, and goes on with the commands behind them. Ready when none is asked for.
    pub(super) fn poll_pending(&mut self, now: Moment, context: &mut Context<'_>) -> Poll<()> {
        while self.pending.is_some() {
            if self.poll_shared(now, context).is_pending() {
                return Poll::Pending;
            }
            let Some(mut pending) = self.pending.take() else { break };
            if let Some((mut asking, about)) = pending.asking.take() {
                let Poll::Ready(verdict) = asking.as_mut().poll(context) else {
                    pending.asking = Some((asking, about));
                    self.pending = Some(pending);
                    return Poll::Pending;
                };
                let rest = std::mem::take(&mut pending.then);
                pending.then = self.judged(about, verdict, now);
                if rest.len() > 0 {
                    pending.then = pending.then.chain(rest).collect::<Vec<_>>().into_iter();
                }
            }
            while pending.then.len() > 0 && !self.waits_for_broker() {
                // A handler may say more at once than waits for a client: each gets its turn to write it first.
                if self.pending.is_none() && self.is_evicted(context) {
                    self.pending = Some(pending);
                    return Poll::Pending;
                }
                if let Some(command) = pending.then.next() {
                    self.follow(&mut pending, command, now);
                }
            }
            if let Some(newer) = self.pending.as_mut().filter(|newer| newer.shared.is_busy()) {
                newer.go_on_with(*pending);
                continue;
            }
            // Behind what the verdict itself brought about.
            for command in pending.waiting {
                self.command(command, now);
            }
        }
        Poll::Ready(())
    }

    fn is_evicted(&mut self, context: &mut Context<'_>) -> bool {
        if self.close_timer.is_some() || self.link_state.link().is_none() {
            return false;
        }
        let others_first = self.client.hub().is_crowded();
        if others_first {
            context.waker().wake_by_ref();
        }
        others_first || self.client.is_crowded()
    }

    /// What is told the client of the verdict; given back is what else is to be done.
    fn judged(&mut self, command: Command, verdict: Decision, now: Moment) -> std::vec::IntoIter<Command> {
        let settles = verdict.then.iter().any(|command| matches!(command, Command::Acknowledge { .. }));
        let asks = verdict.then.iter().any(|command| matches!(command, Command::Ask(_)));
        match (verdict.outcome, command) {
            // The answer has a place of its own among what follows, or comes when the handler has gone on.
            (Ok(consent), Command::Rpc(_)) if settles || (asks && consent.data.is_none()) => {}
            (Ok(consent), command) => self.allowed(command, consent, now),
            (Err(refusal), command) => self.refused(command.ticket(), command.channel().cloned(), refusal, now),
        }
        verdict.then.into_iter()
    }

    fn follow(&mut self, pending: &mut PendingCommands, command: Command, now: Moment) {
        pending.queues |= match &command {
            Command::Acknowledge { .. } | Command::Kick { .. } => true,
            Command::Unsubscribe { .. } => pending.has_published,
            _ => false,
        };
        pending.has_published |= matches!(command, Command::Publish(_) | Command::Ask(_));
        if pending.queues {
            self.client.hub().send_command(self.client.id(), command);
        } else {
            self.carry_out(command, Authority::App, now);
        }
    }

    fn allowed(&mut self, command: Command, consent: Allow, now: Moment) {
        let Allow { instead, identity, data, extras, rights } = consent;
        if let Some(rights) = rights {
            self.client.grant(rights);
        }
        if let Some(identity) = identity {
            self.client.identify(identity);
        }
        match command {
            Command::Connect { ticket, .. } => {
                let identity = self.client.identity().map(|identity| identity.as_ref().clone());
                let connected = Event::Connected { ticket, connection: self.client.id(), identity, data };
                self.deliver(&connected, now);
            }
            Command::RefreshToken { ticket, .. } => self.deliver(&Event::Accepted { ticket, position: None }, now),
            Command::Rpc(call) => self.deliver(&Event::Answered { ticket: call.ticket, data, extras }, now),
            command => self.carry_out(instead.unwrap_or(command), Authority::Consent, now),
        }
    }

    pub(super) fn refused(&mut self, ticket: Ref, channel: Option<Channel>, refusal: Refusal, now: Moment) {
        self.deliver(&Event::Refused { ticket, channel, refusal }, now);
    }

    /// Does it, on the word of `authority`, and tells the machine what came of it.
    pub(super) fn carry_out(&mut self, command: Command, authority: Authority, now: Moment) {
        if self.client.hub().is_shared() {
            self.carry_out_shared(command, authority, now);
        } else {
            self.execute(command, authority, now);
        }
    }

    /// What a signature of the app's is worth for `command`.
    pub(super) fn authority_of_signed(command: &Command) -> Authority {
        if matches!(command, Command::Publish(_)) { Authority::Signature } else { Authority::App }
    }

    pub(super) fn execute(&mut self, command: Command, authority: Authority, now: Moment) {
        let (ticket, about) = (command.ticket(), command.channel().cloned());
        let outcome = match command {
            Command::Connect { ticket, .. } => {
                let identity = self.client.identity().map(|identity| identity.as_ref().clone());
                Ok(Event::Connected { ticket, connection: self.client.id(), identity, data: None })
            }
            Command::Identify { ticket, identity } => {
                self.client.identify(identity.clone());
                let connection = self.client.id();
                Ok(Event::Connected { ticket, connection, identity: Some(identity), data: None })
            }
            Command::Subscribe(wish) => {
                let encoding = self.dialect.encoding(&wish.channel);
                let subscribed = self.client.subscribe(&wish, &encoding, authority, now);
                subscribed.map(|subscribed| Event::Subscribed(Box::new(subscribed)))
            }
            Command::Unsubscribe { ticket, channel } => {
                self.client.unsubscribe(&channel, now);
                Ok(Event::Unsubscribed { ticket, channel, why: None })
            }
            Command::Publish(publish) => {
                let position = self.client.publish(*publish, authority, now);
                position.map(|position| Event::Accepted { ticket, position })
            }
            Command::PublishSeveral(several) => {
                let receipts = self.client.publish_several(*several, authority, now);
                receipts.map(|receipts| Event::Published { ticket, receipts })
            }
            Command::Grant(rights) => return self.client.grant(*rights),
            Command::SetGrace(grace) => return self.client.set_grace(grace),
            Command::Enter { channel, member, .. } => {
                let entered = self.client.enter(&channel, member, authority, now);
                entered.map(|()| Event::Accepted { ticket, position: None })
            }
            Command::Leave { channel, key, parting, .. } => {
                self.client.leave(&channel, &key, parting.map(|parting| *parting), now);
                Ok(Event::Accepted { ticket, position: None })
            }
            Command::Members { channel, .. } => self.client.may_read(&channel, authority).map(|()| Event::Members {
                ticket,
                members: self.client.hub().members(&channel),
                channel,
            }),
            Command::History { channel, since, most, .. } => {
                self.client.may_read_past(&channel, authority).and_then(|()| {
                    let past = self.client.hub().history(&channel, since, most, now).ok_or(Refusal::Unknown)?;
                    Ok(Event::History { ticket, channel, messages: past.messages, top: past.top })
                })
            }
            command @ (Command::Edit(_) | Command::Fetch(_) | Command::Signal(_)) => {
                match self.on_documents(command, authority, now) {
                    // What came of it waits in the mailbox, in its place among what others did.
                    Ok(()) => return,
                    Err(refusal) => Err(refusal),
                }
            }
            Command::Authorized(command) => {
                let authority = Session::authority_of_signed(&command);
                return self.execute(*command, authority, now);
            }
            // Without a authorizer nobody knows what a token is worth.
            Command::RefreshToken { .. } => Err(Refusal::Unknown),
            // Without a authorizer there is nobody to call, and nobody who asked.
            Command::Rpc(_) => Err(Refusal::Unknown),
            Command::Answer { asks, alias, data, extras } => {
                let given = data.map(|data| AckReply { alias, data, extras });
                return self.client.hub().answer(asks, self.client.id(), given);
            }
            command @ (Command::Left { .. } | Command::Ask(_)) => return self.tell_authorizer(command),
            Command::Acknowledge { ticket, data, extras } => Ok(Event::Answered { ticket, data, extras }),
            Command::Kick { scope } => Ok(Event::Kicked { scope }),
            // Behind what was published before it, some of which is for this client and waits in its mailbox.
            Command::Close(why) => return self.client.disconnect(why),
        };
        match outcome {
            Ok(event) => self.deliver(&event, now),
            Err(refusal) => self.refused(ticket, about, refusal, now),
        }
    }

    fn on_documents(&mut self, command: Command, authority: Authority, now: Moment) -> Result<(), Refusal> {
        match command {
            Command::Edit(edit) => self.client.edit(*edit, authority, now),
            Command::Fetch(fetch) => self.client.fetch(*fetch, authority),
            Command::Signal(signal) => self.client.signal(*signal, authority),
            _ => Ok(()),
        }
    }

    /// What the app is told of, and nothing comes back.
    fn tell_authorizer(&mut self, command: Command) {
        let Some((authorizer, connection)) = &self.authorizer else { return };
        match command {
            Command::Left { scope, alias, reason, kind } => {
                authorizer.disconnected(connection, self.client.identity(), Left { scope, alias, reason, kind });
            }
            Command::Ask(inquiry) => authorizer.ask_clients(connection, self.client.identity(), *inquiry),
            _ => {}
        }
    }
}
