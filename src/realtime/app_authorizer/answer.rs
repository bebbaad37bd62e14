//! What the app's answer means to the hub: a decision, and commands.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::settle_at_the_end;
use crate::callbacks::{self, Act, Answer, Content, Destination, Do, Target, User};
use crate::realtime::entrance::authorizer::{Allow, Decision};
use crate::realtime::hub::Hub;
use crate::realtime::socketio::app_format;
use crate::realtime::vocabulary::{
    Audience, Channel, Command, ConnectionId, DisconnectReason, Draft, Extras, Identity, Inquiry, Payload, Publish,
    Refusal, Subscribe, Text, Turn,
};

/// What an answer comes to. Commands for other connections are given to the hub at once.
///
/// # Errors
/// What of it makes no sense; then nothing of it is done.
pub fn decision(answer: Answer, turn: &Arc<Turn>, command: Command, hub: &Arc<Hub>) -> Result<Decision, String> {
    let allows = answer.allows();
    let connection = turn.connection;
    let mut then = Vec::new();
    let mut elsewhere = Vec::new();
    for channel in &answer.channels {
        then.push(Command::Subscribe(Subscribe::to(name(channel)?)));
    }
    for Do { connection: whose, act } in answer.commands {
        let whose = match whose {
            Some(text) => connection_of(&text)?,
            None => connection,
        };
        let command = ordered(act, whose, turn, hub)?;
        if whose == connection { then.push(command) } else { elsewhere.push((whose, command)) }
    }
    let instead = match (answer.replace, command) {
        (Some(content), Command::Publish(mut publish)) => {
            publish.draft.data = payload(content)?;
            if let Some(amendment) = &mut publish.draft.amends {
                amendment.keeps_data = false;
            }
            Some(Command::Publish(publish))
        }
        (Some(_), _) => return Err("only a message can be replaced".into()),
        (None, _) => None,
    };
    // One that is gone since has nothing to be told.
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        elsewhere.into_iter().partition(|(whose, _)| !hub.is_shared() || hub.is_connected(*whose));
    for (whose, command) in here {
        hub.send_command(whose, command);
    }
    if !elsewhere.is_empty() {
        let hub = Arc::clone(hub);
        tokio::spawn(async move {
            for (whose, command) in elsewhere {
                hub.command_anywhere(whose, command).await;
            }
        });
    }
    let outcome = if allows {
        let (data, extras) = match &answer.ack {
            Some(ack) => app_format::answer(ack.get()).map(|(data, extras)| (Some(data), extras))?,
            None => (None, Extras::default()),
        };
        Ok(Allow { instead, identity: answer.user.as_ref().map(identity), data, extras, rights: None })
    } else {
        let reason = answer.reason.unwrap_or_else(|| "refused".to_owned());
        let data = answer.data.map(|data| Payload::Json(data.get().into()));
        Err(Refusal::App { code: answer.code, reason: Text::from(reason.as_str()), data })
    };
    Ok(Decision { outcome, then })
}

fn ordered(act: Act, whose: ConnectionId, turn: &Arc<Turn>, hub: &Arc<Hub>) -> Result<Command, String> {
    let Turn { connection: sender, ref scope, ticket, .. } = **turn;
    let publish = |audience, name, content, echo| {
        let mut draft = Draft::new(payload(content)?);
        draft.name = name;
        Ok::<_, String>(Command::Publish(Box::new(Publish { ticket: 0, audience, draft, echo })))
    };
    match act {
        Act::Send { name, content } => publish(Audience::Connection(whose), name, content, true),
        Act::Publish { target, name: event, echo, content } => {
            let audience = match target {
                Target::Channel(channel) if echo => Audience::Channel(name(&channel)?),
                Target::Channel(channel) => Audience::Several {
                    channels: vec![name(&channel)?],
                    connections: Vec::new(),
                    except: Vec::new(),
                    but: vec![sender],
                },
                Target::User(user) => Audience::User(user),
                Target::Everyone => Audience::Everyone,
            };
            publish(audience, event, content, echo)
        }
        Act::Emit(emit) => Ok(Command::Publish(Box::new(emitted(*emit, whose, sender, scope)?))),
        Act::Ask(_) if whose != sender => {
            Err("ask is for the client that was asked about: name others in \"to\"".into())
        }
        Act::Ask(ask) => {
            let publish = emitted(ask.emit, whose, sender, scope)?;
            settle_at_the_end(turn, hub);
            let inquiry = Inquiry { id: ask.id, publish, timeout: ask.timeout, turn: Arc::clone(turn) };
            Ok(Command::Ask(Box::new(inquiry)))
        }
        Act::Ack { args } => {
            let (data, extras) = app_format::answer(args.as_ref().map_or("[]", |args| args.get()))?;
            Ok(Command::Acknowledge { ticket, data: Some(data), extras })
        }
        Act::Join { destination } => Ok(Command::Subscribe(Subscribe::to(channel_of(destination, scope)?))),
        Act::Leave { destination } => Ok(Command::Unsubscribe { ticket: 0, channel: channel_of(destination, scope)? }),
        Act::Disconnect { close: false, .. } if !scope.is_empty() => Ok(Command::Kick { scope: Arc::clone(scope) }),
        Act::Disconnect { code, reason, .. } => {
            // RFC 6455 section 7.4.2: 3000 to 4999 are the app's; of the others these two make sense.
            let code = code.filter(|code| matches!(code, 1000 | 1008 | 3000..=4999));
            let reason = Text::from(reason.as_deref().unwrap_or_default());
            Ok(Command::Close(DisconnectReason::Kicked { code, reason }))
        }
        Act::Identify { user } => Ok(Command::Identify { ticket: 0, identity: identity(&user) }),
    }
}

fn emitted(
    emit: callbacks::Emit,
    whose: ConnectionId,
    sender: ConnectionId,
    scope: &Arc<str>,
) -> Result<Publish, String> {
    let mut draft = app_format::event(&emit.name, emit.args.as_ref().map_or("[]", |args| args.get()))?;
    draft.volatile = emit.volatile;
    let to: &[String] = if let callbacks::Audience::Rooms(rooms) = &emit.to { rooms } else { &[] };
    let but = (!emit.echo).then_some(sender);
    let target = app_format::Emit { scope: emit.namespace.as_deref().unwrap_or(scope), to, except: &emit.except, but };
    let (audience, draft) = match emit.to {
        callbacks::Audience::Client => (Audience::Connection(whose), target.whisper(draft)),
        callbacks::Audience::Rooms(rooms) if rooms.is_empty() => return Err("emit: \"to\" names nobody".into()),
        _ => target.address(draft).map_err(|error| format!("emit: {error}"))?,
    };
    Ok(Publish { ticket: 0, audience, draft, echo: true })
}

fn channel_of(destination: Destination, scope: &str) -> Result<Channel, String> {
    match destination {
        Destination::Channel(channel) => name(&channel),
        Destination::Room(room) => {
            let scope = if scope.is_empty() { app_format::rooms::ROOT } else { scope };
            app_format::rooms::room(scope, &room).map_err(|error| format!("{room:?}: {error}"))
        }
    }
}

/// A connection by its own id, or by that of a client on it.
fn connection_of(text: &str) -> Result<ConnectionId, String> {
    let by_alias = || app_format::connection(text).ok_or_else(|| format!("{text:?} is no connection"));
    text.parse().or_else(|_| by_alias())
}

fn name(channel: &str) -> Result<Channel, String> {
    Channel::new(channel).map_err(|error| format!("{channel:?}: {error}"))
}

fn identity(user: &User) -> Identity {
    let info = user.info.as_ref().map(|info| Payload::Json(info.get().into()));
    Identity { user: Arc::clone(&user.id), info }
}

fn payload(content: Content) -> Result<Payload, String> {
    Ok(match content {
        Content::Text(text) => Payload::Text(text.as_str().into()),
        Content::Json(json) => Payload::Json(json.get().into()),
        Content::Base64(text) => Payload::Binary(STANDARD.decode(&text).map_err(|error| error.to_string())?.into()),
    })
}
