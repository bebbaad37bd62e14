//! Ending connections of any door, and commands for them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::realtime::hub::Hub;
use crate::realtime::hub::cluster::{Addressee, DOORS_PATIENCE, DoorQuestion, WirePayload};
use crate::realtime::vocabulary::{
    Channel, Command, ConnectionId, DisconnectReason, Identity, Moment, Payload, Refusal, Subscribe, Text,
};

/// Ends connections.
#[derive(Serialize, Deserialize)]
struct EndQuestion {
    whom: Addressee,
    code: Option<u16>,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct EndAnswer {
    connections: usize,
    /// It was the one that was meant.
    is_all: bool,
}

impl DoorQuestion for EndQuestion {
    const KIND: &'static str = "end";
    type Answer = EndAnswer;

    fn is_enough(answer: &EndAnswer) -> bool {
        answer.is_all
    }
}

/// Has a connection's session carry out a command.
#[derive(Serialize, Deserialize)]
struct CommandTold {
    connection: u64,
    command: WireCommand,
}

/// What the app may have connections do that it was not asked about.
#[derive(Serialize, Deserialize)]
enum WireCommand {
    Subscribe(Arc<str>),
    Unsubscribe(Arc<str>),
    Kick(Arc<str>),
    Close { code: Option<u16>, reason: String },
    Identify { user: Arc<str>, info: Option<WirePayload> },
}

impl DoorQuestion for CommandTold {
    const KIND: &'static str = "command";
    type Answer = ();
}

impl WireCommand {
    /// `None` for one that is carried out where it is given.
    fn of(command: &Command) -> Option<WireCommand> {
        Some(match command {
            Command::Subscribe(wish) => WireCommand::Subscribe(wish.channel.as_str().into()),
            Command::Unsubscribe { channel, .. } => WireCommand::Unsubscribe(channel.as_str().into()),
            Command::Kick { scope } => WireCommand::Kick(Arc::clone(scope)),
            Command::Close(DisconnectReason::Kicked { code, reason }) => {
                WireCommand::Close { code: *code, reason: reason.as_str().to_owned() }
            }
            Command::Identify { identity, .. } => WireCommand::Identify {
                user: Arc::clone(&identity.user),
                info: identity.info.as_ref().map(WirePayload::from),
            },
            _ => return None,
        })
    }

    fn command(self) -> Option<Command> {
        Some(match self {
            WireCommand::Subscribe(channel) => Command::Subscribe(Subscribe::to(Channel::new(&channel).ok()?)),
            WireCommand::Unsubscribe(channel) => {
                Command::Unsubscribe { ticket: 0, channel: Channel::new(&channel).ok()? }
            }
            WireCommand::Kick(scope) => Command::Kick { scope },
            WireCommand::Close { code, reason } => Command::Close(kicked(code, &reason)),
            WireCommand::Identify { user, info } => {
                Command::Identify { ticket: 0, identity: Identity { user, info: info.map(Payload::from) } }
            }
        })
    }
}

fn kicked(code: Option<u16>, reason: &str) -> DisconnectReason {
    DisconnectReason::Kicked { code, reason: Text::from(reason) }
}

impl Hub {
    /// Ends a connection of any door, for the app or the operator.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] where no door has it; [`Refusal::Unavailable`] where not all could be asked.
    pub async fn end_connection(&self, id: ConnectionId, code: Option<u16>, reason: &Text) -> Result<(), Refusal> {
        if self.disconnect(id, DisconnectReason::Kicked { code, reason: reason.clone() }) {
            return Ok(());
        }
        let question =
            EndQuestion { whom: Addressee::Connections(vec![id.0]), code, reason: reason.as_str().to_owned() };
        let replies = self.ask_doors(&question, DOORS_PATIENCE).await;
        match replies.given.iter().any(|answer| answer.is_all) {
            true => Ok(()),
            false if replies.is_whole() => Err(Refusal::Unknown),
            false => Err(Refusal::Unavailable),
        }
    }

    /// Ends all connections of a user, on all doors. Says how many; a door that does not answer in time does it
    /// as soon as it goes on, and is not counted.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where the other doors could not be asked: then those of this one have ended.
    pub async fn end_user(&self, user: &Arc<str>, code: Option<u16>, reason: &Text) -> Result<usize, Refusal> {
        let whom = Addressee::User(Arc::clone(user));
        let own = self.end_here(&whom, &DisconnectReason::Kicked { code, reason: reason.clone() });
        let question = EndQuestion { whom, code, reason: reason.as_str().to_owned() };
        let replies = self.ask_doors(&question, DOORS_PATIENCE).await;
        if replies.is_away {
            return Err(Refusal::Unavailable);
        }
        Ok(own + replies.given.iter().map(|answer| answer.connections).sum::<usize>())
    }

    fn end_here(&self, whom: &Addressee, why: &DisconnectReason) -> usize {
        self.connections_meant(whom).into_iter().filter(|id| self.disconnect(*id, why.clone())).count()
    }

    /// Has a connection of any door carry out a command. One that is gone has nothing to be told.
    pub async fn command_anywhere(self: &Arc<Self>, id: ConnectionId, command: Command) {
        if !self.is_shared() || self.is_connected(id) {
            self.send_command(id, command);
            return;
        }
        if let Command::Publish(publish) = command {
            let _ = self.publish_shared(*publish, Moment::now()).await;
        } else if let Some(command) = WireCommand::of(&command) {
            self.tell_doors(&CommandTold { connection: id.0, command }).await;
        }
    }

    pub(super) fn answer_endings(&self) {
        self.answer_doors_by(|hub, EndQuestion { whom, code, reason }| async move {
            let connections = hub.end_here(&whom, &kicked(code, &reason));
            EndAnswer { connections, is_all: matches!(whom, Addressee::Connections(_)) && connections > 0 }
        });
        self.answer_doors_by(|hub, CommandTold { connection, command }| async move {
            if let Some(command) = command.command() {
                hub.send_command(ConnectionId(connection), command);
            }
        });
    }
}
