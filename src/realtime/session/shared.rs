//! Commands that wait for the broker, where several doors share the hub's channels. They are carried out in order, each
//! once the one before it is done.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Session;
use super::pending::{PendingCommands, Running};
use crate::realtime::hub::Authority;
use crate::realtime::vocabulary::{Command, Event, Moment, Subscribe};

impl Session {
    /// Carries out a command, or has it wait for the broker, or for those before it that do.
    pub(super) fn carry_out_shared(&mut self, command: Command, authority: Authority, now: Moment) {
        if let Some(pending) = &mut self.pending
            && pending.shared.is_busy()
        {
            return pending.shared.behind.push_back((command, authority));
        }
        self.begin_shared(command, authority, now);
    }

    /// Whether commands wait for the broker.
    pub(super) fn waits_for_broker(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.shared.is_busy())
    }

    fn begin_shared(&mut self, command: Command, authority: Authority, now: Moment) {
        let (ticket, about) = (command.ticket(), command.channel().cloned());
        let begun = match command {
            Command::Authorized(command) => {
                let authority = Session::authority_of_signed(&command);
                return self.begin_shared(*command, authority, now);
            }
            Command::Publish(publish) => self.client.publish_shared(*publish, authority, now).map(|said| {
                let outcome = async move { said.await.map(|position| Some(Event::Accepted { ticket, position })) };
                (Box::pin(outcome) as Pin<Box<dyn Future<Output = _> + Send>>, None)
            }),
            Command::PublishSeveral(several) => {
                self.client.publish_several_shared(*several, authority, now).map(|said| {
                    let outcome = async move { said.await.map(|receipts| Some(Event::Published { ticket, receipts })) };
                    (Box::pin(outcome) as _, None)
                })
            }
            command => {
                let needed = match &command {
                    Command::Subscribe(_)
                    | Command::Enter { .. }
                    | Command::Members { .. }
                    | Command::History { .. } => about.clone(),
                    _ => None,
                };
                let known = match &command {
                    Command::Subscribe(Subscribe { since, .. }) | Command::History { since, .. } => since.position(),
                    _ => None,
                };
                let needs = needed
                    .map(|channel| self.client.needs_mirror(&channel, known, authority).map(|needs| (needs, channel)));
                match needs {
                    Some(Ok((true, channel))) => {
                        let mirrored = self.client.mirror(channel, known);
                        let outcome = async move { mirrored.await.map(|()| None) };
                        Ok((Box::pin(outcome) as _, Some((command, authority))))
                    }
                    // What it may not, it is told by the command itself.
                    Some(Ok((false, _)) | Err(_)) | None => return self.execute(command, authority, now),
                }
            }
        };
        match begun {
            Ok((outcome, then)) => {
                let pending = self.pending.get_or_insert_with(PendingCommands::idle);
                pending.shared.running.push_back(Running { outcome, ticket, about, then });
            }
            Err(refusal) => self.refused(ticket, about, refusal, now),
        }
    }

    /// Goes on with them as the broker answers. Ready when none waits.
    pub(super) fn poll_shared(&mut self, now: Moment, context: &mut Context<'_>) -> Poll<()> {
        while let Some(pending) = &mut self.pending {
            let Some(running) = pending.shared.running.front_mut() else {
                let Some((command, authority)) = pending.shared.behind.pop_front() else { break };
                self.begin_shared(command, authority, now);
                continue;
            };
            let outcome = ready!(running.outcome.as_mut().poll(context));
            let Some(Running { ticket, about, then, .. }) = pending.shared.running.pop_front() else { break };
            match (outcome, then) {
                (Ok(Some(event)), _) => self.deliver(&event, now),
                (Ok(None), Some((command, authority))) => self.execute(command, authority, now),
                (Ok(None), None) => {}
                (Err(refusal), _) => self.refused(ticket, about, refusal, now),
            }
        }
        Poll::Ready(())
    }
}
