//! The app in the loop: commands of clients become questions to the app, its answers become verdicts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::value::RawValue;
use tracing::warn;

use super::dialect::socketio;
use super::gate::{Asking, Consent, Departure, Gate, Verdict, Visitor};
use super::hub::Hub;
use super::vocabulary::{
    Audience, Channel, Closing, Command, ConnectionId, Draft, Extras, Identity, Moment, Parting, Payload, Publish,
    Refusal, Subscribe, Text, Ticket,
};
use crate::app::{
    self, Act, Answer, App, AskError, Asker, Content, Do, Event, EventKind, Place, Question, Target, User,
};
use crate::http::Facts;
use crate::http::facts::RequestId;

/// Asks the app.
pub struct Callbacks {
    app: Arc<App>,
    hub: Arc<Hub>,
    kept: Arc<Kept>,
}

/// What the app gave each connection, or each scope of one, to keep. One entry for each that was given something,
/// until it is gone.
#[derive(Default)]
struct Kept(Mutex<HashMap<Key, Box<RawValue>>>);

type Key = (ConnectionId, Arc<str>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Box<RawValue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Callbacks {
    pub fn new(app: Arc<App>, hub: Arc<Hub>) -> Callbacks {
        Callbacks { app, hub, kept: Arc::default() }
    }

    fn asker(&self, visitor: &Visitor, identity: Option<&Arc<Identity>>, (scope, alias): Part) -> Asker {
        let address = visitor.client.to_string();
        let id = HeaderValue::from_str(&visitor.request_id).ok();
        let facts = Facts {
            client: visitor.client,
            scheme: visitor.scheme.clone(),
            authority: visitor.authority.clone(),
            forwarded_for: HeaderValue::from_str(&address).expect("an address is visible ASCII"),
            request_id: id.as_ref().and_then(RequestId::accept).unwrap_or_default(),
            received: Instant::now(),
        };
        Asker {
            connection: visitor.connection.to_string(),
            socket: alias,
            protocol: visitor.dialect,
            path: visitor.target.path().to_owned(),
            query: visitor.target.query().unwrap_or_default().to_owned(),
            facts: Arc::new(facts),
            headers: self.app.carried(&visitor.headers),
            user: identity.map(|identity| Arc::clone(&identity.user)),
            data: self.kept.lock().get(&(visitor.connection, scope)).cloned(),
        }
    }

    /// What the app is to be told of a command, if it wants to hear of such.
    fn event(&self, command: &Command) -> Option<Event> {
        let wants = |kind, channel: &Channel| self.app.wants(kind, Some(channel.as_str()));
        match command {
            Command::Connect { scope, credentials, recovered, .. } if self.app.wants(EventKind::Connect, None) => {
                let credentials = credentials.as_ref().and_then(raw);
                Some(Event::Connect { scope: (**scope).into(), credentials, recovered: *recovered })
            }
            Command::Subscribe(wish) if wants(EventKind::Subscribe, &wish.channel) => Some(Event::Subscribe {
                channel: wish.channel.as_str().into(),
                credentials: wish.credentials.as_ref().and_then(raw),
            }),
            Command::Publish(publish) => {
                let Audience::Channel(channel) = &publish.audience else { return None };
                wants(EventKind::Message, channel).then(|| Event::Message {
                    channel: Some(channel.as_str().into()),
                    scope: "".into(),
                    name: publish.draft.name.as_deref().map(Into::into),
                    content: content(&publish.draft.data),
                    ack: false,
                })
            }
            Command::Call(call) if self.app.wants(EventKind::Message, None) => Some(Event::Message {
                channel: None,
                scope: (*call.scope).into(),
                name: Some((*call.name).into()),
                content: match &call.data {
                    Payload::Json(json) => {
                        content(&Payload::Json(socketio::inline(json, &socketio::attached(&call.extras))))
                    }
                    data => content(data),
                },
                ack: call.answer,
            }),
            _ => None,
        }
    }
}

impl Gate for Callbacks {
    fn ask(&self, visitor: &Arc<Visitor>, identity: Option<&Arc<Identity>>, command: &Command) -> Option<Asking> {
        let event = self.event(command)?;
        let part = part(command);
        let scope = Arc::clone(&part.0);
        let question = Question::new(self.asker(visitor, identity, part), event);
        let (app, hub, kept) = (Arc::clone(&self.app), Arc::clone(&self.hub), Arc::clone(&self.kept));
        let (connection, command) = (visitor.connection, command.clone());
        Some(Box::pin(async move {
            let answer = match app.ask(&question).await {
                Ok(answer) => answer,
                Err(error) => return unanswered(&error),
            };
            let data = answer.data.clone();
            match verdict(answer, connection, &scope, command, &hub) {
                Ok(verdict) => {
                    if let (Some(data), true) = (data, verdict.outcome.is_ok()) {
                        kept.lock().insert((connection, scope), data);
                    }
                    verdict
                }
                Err(what) => {
                    warn!(kind = question.kind().word(), what, "the app's answer cannot be carried out");
                    unanswered(&AskError::Nonsense(what))
                }
            }
        }))
    }

    fn gone(&self, visitor: &Arc<Visitor>, identity: Option<&Arc<Identity>>, departure: Departure) {
        let Departure { scope, alias, reason, parting } = departure;
        if parting != Parting::Forgotten && self.app.wants(EventKind::Disconnect, None) {
            let asker = self.asker(visitor, identity, (Arc::clone(&scope), alias));
            let event = Event::Disconnect { scope: (*scope).into(), reason: reason.into() };
            let (hub, connection, scope) = (Arc::clone(&self.hub), visitor.connection, Arc::clone(&scope));
            self.app.report(Question::new(asker, event), move |answer| epilogue(answer, connection, &scope, &hub));
        }
        if parting != Parting::Away {
            self.kept.lock().remove(&(visitor.connection, scope));
        }
    }
}

/// What the app wants done now that a client has left: its own commands have nobody to carry them out, but others may
/// hear of it.
fn epilogue(answer: Answer, connection: ConnectionId, scope: &Arc<str>, hub: &Hub) {
    let left = Command::Depart { scope: Arc::clone(scope), alias: None, reason: "", parting: Parting::Gone };
    match verdict(answer, connection, scope, left, hub) {
        Ok(verdict) => {
            for command in verdict.then {
                if let Command::Publish(publish) = command {
                    // Where nobody is, nobody hears it.
                    let _ = hub.publish(*publish, Moment::now());
                }
            }
        }
        Err(what) => warn!(kind = "disconnect", what, "the app's answer cannot be carried out"),
    }
}

/// No answer is no consent.
fn unanswered(error: &AskError) -> Verdict {
    let refusal = match error {
        AskError::TooMany => Refusal::TooMany { wait: std::time::Duration::from_secs(1) },
        AskError::Unavailable(_) | AskError::Nonsense(_) => Refusal::Unavailable,
    };
    Verdict { outcome: Err(refusal), then: Vec::new() }
}

/// What an answer comes to. Commands for other connections are given to the hub at once.
///
/// # Errors
/// What of it makes no sense; then nothing of it is done.
fn verdict(
    answer: Answer,
    connection: ConnectionId,
    scope: &Arc<str>,
    command: Command,
    hub: &Hub,
) -> Result<Verdict, String> {
    let allows = answer.allows();
    let ticket = if let Command::Call(call) = &command { call.ticket } else { 0 };
    let mut then = Vec::new();
    let mut elsewhere = Vec::new();
    for channel in &answer.channels {
        then.push(Command::Subscribe(Subscribe::to(name(channel)?)));
    }
    for Do { connection: whose, act } in answer.commands {
        let whose = match whose {
            Some(text) => self::connection(&text)?,
            None => connection,
        };
        let command = carried_out(act, whose, connection, scope, ticket)?;
        if whose == connection { then.push(command) } else { elsewhere.push((whose, command)) }
    }
    let instead = match (answer.replace, command) {
        (Some(content), Command::Publish(mut publish)) => {
            publish.draft.data = payload(content)?;
            Some(Command::Publish(publish))
        }
        (Some(_), _) => return Err("only a message can be replaced".into()),
        (None, _) => None,
    };
    for (whose, command) in elsewhere {
        // One that is gone since has nothing to be told.
        hub.order(whose, command);
    }
    let outcome = if allows {
        let (data, extras) = match &answer.ack {
            Some(ack) => socketio::answer(ack.get()).map(|(data, extras)| (Some(data), extras))?,
            None => (None, Extras::default()),
        };
        Ok(Consent { instead, identity: answer.user.as_ref().map(identity), data, extras, rights: None })
    } else {
        let reason = answer.reason.unwrap_or_else(|| "refused".to_owned());
        let data = answer.data.map(|data| Payload::Json(data.get().into()));
        Err(Refusal::App { code: answer.code, reason: Text::from(reason.as_str()), data })
    };
    Ok(Verdict { outcome, then })
}

fn carried_out(
    act: Act,
    whose: ConnectionId,
    sender: ConnectionId,
    scope: &Arc<str>,
    ticket: Ticket,
) -> Result<Command, String> {
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
        Act::Emit(emit) => emitted(*emit, whose, sender, scope),
        Act::Ack { args } => {
            let (data, extras) = socketio::answer(args.as_ref().map_or("[]", |args| args.get()))?;
            Ok(Command::Settle { ticket, data, extras })
        }
        Act::Join { place } => Ok(Command::Subscribe(Subscribe::to(placed(place, scope)?))),
        Act::Leave { place } => Ok(Command::Unsubscribe { ticket: 0, channel: placed(place, scope)? }),
        Act::Disconnect { close: false, .. } if !scope.is_empty() => Ok(Command::Dismiss { scope: Arc::clone(scope) }),
        Act::Disconnect { code, reason, .. } => {
            // RFC 6455 section 7.4.2: 3000 to 4999 are the app's; of the others these two make sense.
            let code = code.filter(|code| matches!(code, 1000 | 1008 | 3000..=4999));
            let reason = Text::from(reason.as_deref().unwrap_or_default());
            Ok(Command::Close(Closing::Kicked { code, reason }))
        }
        Act::Identify { user } => Ok(Command::Identify { ticket: 0, identity: identity(&user) }),
    }
}

fn emitted(emit: app::Emit, whose: ConnectionId, sender: ConnectionId, scope: &Arc<str>) -> Result<Command, String> {
    let mut draft = socketio::event(&emit.name, emit.args.as_ref().map_or("[]", |args| args.get()))?;
    draft.volatile = emit.volatile;
    let to: &[String] = if let app::Audience::Rooms(rooms) = &emit.to { rooms } else { &[] };
    let but = (!emit.echo).then_some(sender);
    let target = socketio::Emit { scope: emit.namespace.as_deref().unwrap_or(scope), to, except: &emit.except, but };
    let (audience, draft) = match emit.to {
        app::Audience::Client => (Audience::Connection(whose), target.whisper(draft)),
        app::Audience::Rooms(rooms) if rooms.is_empty() => return Err("emit: \"to\" names nobody".into()),
        _ => target.address(draft).map_err(|error| format!("emit: {error}"))?,
    };
    Ok(Command::Publish(Box::new(Publish { ticket: 0, audience, draft, echo: true })))
}

fn placed(place: Place, scope: &str) -> Result<Channel, String> {
    match place {
        Place::Channel(channel) => name(&channel),
        Place::Room(room) => {
            let scope = if scope.is_empty() { socketio::rooms::ROOT } else { scope };
            socketio::rooms::room(scope, &room).map_err(|error| format!("{room:?}: {error}"))
        }
    }
}

/// A connection by its own id, or by that of a client on it.
fn connection(text: &str) -> Result<ConnectionId, String> {
    let by_alias = || socketio::connection(text).ok_or_else(|| format!("{text:?} is no connection"));
    text.parse().or_else(|_| by_alias())
}

/// A scope, and what the client is called there.
type Part = (Arc<str>, Option<Arc<str>>);

fn part(command: &Command) -> Part {
    match command {
        Command::Connect { scope, alias, .. } => (Arc::clone(scope), alias.clone()),
        Command::Call(call) => (Arc::clone(&call.scope), call.alias.clone()),
        _ => (Arc::from(""), None),
    }
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

fn content(payload: &Payload) -> Content {
    match payload {
        Payload::Text(text) => Content::Text(text.as_str().to_owned()),
        Payload::Json(_) => raw(payload).map_or(Content::Text(String::new()), Content::Json),
        Payload::Binary(bytes) => Content::Base64(STANDARD.encode(bytes)),
    }
}

fn raw(payload: &Payload) -> Option<Box<RawValue>> {
    match payload {
        Payload::Json(json) => RawValue::from_string(json.as_str().to_owned()).ok(),
        Payload::Text(text) => serde_json::value::to_raw_value(text.as_str()).ok(),
        Payload::Binary(bytes) => serde_json::value::to_raw_value(&STANDARD.encode(bytes)).ok(),
    }
}
