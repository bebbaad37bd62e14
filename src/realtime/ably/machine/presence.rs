//! Who it is in channels: it comes, goes, and shows something else.

use super::attachment::{mode, qualified};
use super::{AblyMachine, Opening};
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::presence::{AblyPresence, ENTER, LEAVE, PRESENT, UPDATE};
use crate::realtime::ably::wire::protocol::{SaidFrame, ToldFrame, action};
use crate::realtime::dialect::Step;
use crate::realtime::vocabulary::{Channel, Command, Frame, Moment};

/// Members in one frame, at most.
const MAX_ITEMS: usize = 250;

impl AblyMachine {
    pub(super) fn present(&mut self, said: SaidFrame, now: Moment, step: &mut Step) {
        let serial = said.msg_serial;
        let echo = self.echo(&said, now);
        match self.commands(said) {
            Ok(commands) => {
                let mut tickets = Vec::with_capacity(commands.len());
                let mut numbered = Vec::with_capacity(commands.len());
                for mut command in commands {
                    let ticket = self.ticket();
                    if let Command::Enter { ticket: own, .. } | Command::Leave { ticket: own, .. } = &mut command {
                        *own = ticket;
                    }
                    tickets.push(ticket);
                    numbered.push(command);
                }
                if self.await_outcome(serial, tickets, echo, step) {
                    numbered.into_iter().for_each(|command| step.command(command));
                }
            }
            Err(error) => self.not_done(serial, error, step),
        }
    }

    /// What the client itself hears of it where it does not hear of the others: it knows its own members only so.
    fn echo(&self, said: &SaidFrame, now: Moment) -> Option<Frame> {
        let written = said.channel.as_deref()?;
        let channel = self.opening.app.channel(qualified(written).ok()?.1).ok()?;
        let hears = self.channels.get(&channel)?.modes & mode::PRESENCE_SUBSCRIBE != 0;
        let serial = said.msg_serial.filter(|_| !hears)?;
        let connection = &self.opening.opened.id;
        let own = |(index, item): (usize, &AblyPresence)| AblyPresence {
            id: item.id.clone().or_else(|| Some(format!("{connection}:{serial}:{index}"))),
            client_id: item.client_id.clone().or_else(|| self.opening.client.as_deref().map(str::to_owned)),
            connection_id: Some(connection.to_string()),
            timestamp: Some(now.unix_ms),
            ..item.clone()
        };
        let presence = said.presence.as_ref()?.0.iter().enumerate().map(own).collect();
        let told = ToldFrame {
            action: action::PRESENCE,
            channel: Some(written),
            presence: Some(presence),
            ..ToldFrame::default()
        };
        Some(self.manner.format.frame(&told))
    }

    fn commands(&mut self, said: SaidFrame) -> Result<Vec<Command>, AblyError> {
        let written = said.channel.unwrap_or_default();
        let (_, name) = qualified(&written)?;
        let channel = self.opening.app.channel(name)?;
        self.may(&channel, mode::PRESENCE)?;
        let items = said.presence.unwrap_or_default().0;
        if items.is_empty() {
            return Err(AblyError::new(40000, 400, "PRESENCE needs presence"));
        }
        if items.len() > MAX_ITEMS {
            return Err(AblyError::new(40009, 400, format!("More than {MAX_ITEMS} members in one frame")));
        }
        let serial = said.msg_serial.unwrap_or_default();
        let item = |(index, item)| self.item(&channel, serial, index, item);
        items.into_iter().enumerate().map(item).collect()
    }

    fn item(&self, channel: &Channel, serial: u64, index: usize, item: AblyPresence) -> Result<Command, AblyError> {
        let Opening { opened, .. } = &*self.opening;
        let client = self.speaks_as(item.client_id.as_deref())?;
        let client = client.ok_or_else(|| AblyError::new(91000, 400, "A member needs a clientId"))?;
        let (action, shows) = (item.action, item.data.is_some());
        let member = item.member(&client, &opened.id, || format!("{}:{serial}:{index}", opened.id))?;
        let channel = channel.clone();
        match action {
            PRESENT | ENTER | UPDATE => Ok(Command::Enter { ticket: 0, channel, member }),
            LEAVE => {
                let key = member.key.clone();
                // One that says nothing goes with what it showed.
                let parting = shows.then(|| Box::new(member));
                Ok(Command::Leave { ticket: 0, channel, key, parting })
            }
            _ => Err(AblyError::new(40000, 400, format!("There is no presence action {action}"))),
        }
    }
}
