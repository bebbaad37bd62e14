//! The app in the loop: commands of clients become questions to the app, its answers become decisions.
#![expect(
    clippy::disallowed_methods,
    reason = "a callback ends with its time-out; whoever waits for the answers holds a guard"
)]

mod answer;
mod several;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tracing::warn;

use crate::callbacks::{self, Amends, Answer, App, Callback, CallbackClient, CallbackError, Content, Event, EventKind};
use crate::http::Facts;
use crate::http::facts::RequestId;
use crate::realtime::entrance::authorizer::{self, Authorizer, ConnectionInfo, Decision, Left};
use crate::realtime::hub::{AckReply, Answers, AskedEverywhere, Hub};
use crate::realtime::socketio::app_format;
use crate::realtime::vocabulary::{
    Amendment, Audience, Change, Channel, Command, ConnectionId, Extras, Identity, Inquiry, LeaveKind, Moment, Payload,
    Publish, Refusal, Turn,
};
use crate::shares::{Count, Counts, Holder, Share, Shares};

/// Asks the app.
#[derive(Clone)]
pub struct AppAuthorizer {
    app: Arc<App>,
    hub: Arc<Hub>,
    kept: Arc<ConnectionData>,
    /// Questions of handlers that are open, by whose events they were asked for.
    of_connection: Arc<Counts<ConnectionId>>,
    of_client: Arc<Shares>,
}

/// One connection may have this part of `realtime.max_questions` open; one address has its share of them.
const CONNECTIONS_SHARE: usize = 16;

/// What the app gave each connection, or each scope of one, to keep. One entry for each that was given something,
/// until it is gone.
#[derive(Default)]
struct ConnectionData(Mutex<HashMap<Key, Box<RawValue>>>);

type Key = (ConnectionId, Arc<str>);

impl ConnectionData {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Box<RawValue>>> {
        self.0.lock()
    }
}

impl AppAuthorizer {
    pub fn new(app: Arc<App>, hub: Arc<Hub>) -> AppAuthorizer {
        let of_client = Shares::new("realtime.max_questions", hub.max_questions());
        AppAuthorizer { app, hub, kept: Arc::default(), of_connection: Arc::default(), of_client }
    }

    fn client(
        &self,
        connection: &ConnectionInfo,
        identity: Option<&Arc<Identity>>,
        (scope, alias): Part,
    ) -> CallbackClient {
        let address = connection.client.to_string();
        let id = HeaderValue::from_str(&connection.request_id).ok();
        let facts = Facts {
            client: connection.client,
            scheme: connection.scheme.clone(),
            authority: connection.authority.clone(),
            forwarded_for: HeaderValue::from_str(&address).expect("an address is visible ASCII"),
            request_id: id.as_ref().and_then(RequestId::accept).unwrap_or_default(),
            trace: connection.trace.clone(),
            received: Instant::now(),
        };
        CallbackClient {
            connection: connection.connection.to_string(),
            socket: alias,
            protocol: connection.dialect,
            path: connection.target.path().to_owned(),
            query: connection.target.query().unwrap_or_default().to_owned(),
            facts: Arc::new(facts),
            headers: self.app.carried(&connection.headers),
            user: identity.map(|identity| Arc::clone(&identity.user)),
            data: self.kept.lock().get(&(connection.connection, scope)).cloned(),
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
                    amends: publish.draft.amends.as_deref().map(amends),
                    ack: false,
                })
            }
            Command::Rpc(call) if self.app.wants(EventKind::Message, None) => Some(Event::Message {
                channel: None,
                scope: (*call.scope).into(),
                name: Some((*call.name).into()),
                content: match &call.data {
                    Payload::Json(json) => {
                        content(&Payload::Json(app_format::inline(json, &app_format::attached(&call.extras))))
                    }
                    data => content(data),
                },
                amends: None,
                ack: call.answer,
            }),
            _ => None,
        }
    }
}

impl Authorizer for AppAuthorizer {
    fn authorize(
        &self,
        connection: &Arc<ConnectionInfo>,
        identity: Option<&Arc<Identity>>,
        command: &Command,
    ) -> Option<authorizer::Deciding> {
        if let Command::PublishSeveral(several) = command {
            return self.authorize_each(connection, identity, several);
        }
        let event = self.event(command)?;
        let part = part(command);
        let (scope, alias) = part.clone();
        let callback = Callback::new(self.client(connection, identity, part), event);
        let (app, hub, kept) = (Arc::clone(&self.app), Arc::clone(&self.hub), Arc::clone(&self.kept));
        let (connection, command) = (connection.connection, command.clone());
        Some(Box::pin(async move {
            let answer = match app.ask(&callback).await {
                Ok(answer) => answer,
                Err(error) => return unanswered(&error),
            };
            let data = answer.data.clone();
            let ticket = if let Command::Rpc(call) = &command { call.ticket } else { 0 };
            let turn = Arc::new(Turn::new(connection, Arc::clone(&scope), alias, ticket));
            match answer::decision(answer, &turn, command, &hub) {
                Ok(decision) => {
                    // A handler that asks goes on later: what it keeps then has a place now.
                    let asks = decision.then.iter().any(|command| matches!(command, Command::Ask(_)));
                    let data = data.or_else(|| asks.then(Box::<RawValue>::default));
                    if let (Some(data), true) = (data, decision.outcome.is_ok()) {
                        kept.lock().insert((connection, scope), data);
                    }
                    decision
                }
                Err(what) => {
                    warn!(kind = callback.kind().label(), what, "the app's answer cannot be carried out");
                    unanswered(&CallbackError::Nonsense(what))
                }
            }
        }))
    }

    fn ask_clients(&self, connection: &Arc<ConnectionInfo>, identity: Option<&Arc<Identity>>, inquiry: Inquiry) {
        let (callbacks, connection, identity) = (self.clone(), Arc::clone(connection), identity.cloned());
        let Inquiry { id, publish, timeout: limit, turn } = inquiry;
        let asked = self.open(&connection, publish, limit);
        tokio::spawn(async move {
            let (answers, error) = match asked {
                Ok((asked, _shares)) => {
                    let answers = asked.answers().await;
                    let error = (answers.missing_doors > 0).then(|| "a door has not answered for its clients".into());
                    (answers, error)
                }
                Err(why) => (Answers::default(), Some(why.into())),
            };
            let event = Event::Replies {
                scope: (*turn.scope).into(),
                id,
                results: answers.given.iter().map(|(from, given)| reply(*from, given)).collect(),
                missing: answers.missing.iter().map(ConnectionId::to_string).collect(),
                error,
            };
            let identity = callbacks.hub.identity_of(connection.connection).or(identity);
            let part = (Arc::clone(&turn.scope), turn.alias.clone());
            let callback = Callback::new(callbacks.client(&connection, identity.as_ref(), part), event);
            match callbacks.app.ask(&callback).await {
                Ok(answer) => callbacks.go_on(answer, &turn, &connection, identity.as_ref()),
                // Said where it happened: the handler is not gone on with, as in a server that fails.
                Err(CallbackError::Unavailable(_) | CallbackError::Nonsense(_)) => {}
                Err(error) => warn!(kind = "replies", %error, "a handler is not gone on with"),
            }
        });
    }

    fn disconnected(&self, connection: &Arc<ConnectionInfo>, identity: Option<&Arc<Identity>>, left: Left) {
        let Left { scope, alias, reason, kind } = left;
        if kind != LeaveKind::Expired && self.app.wants(EventKind::Disconnect, None) {
            let client = self.client(connection, identity, (Arc::clone(&scope), alias.clone()));
            let event = Event::Disconnect { scope: (*scope).into(), reason: reason.into() };
            let turn = Arc::new(Turn::new(connection.connection, Arc::clone(&scope), alias, 0));
            let (callbacks, connection, identity) = (self.clone(), Arc::clone(connection), identity.cloned());
            let then = move |answer| callbacks.epilogue(answer, &turn, &connection, identity.as_ref());
            self.app.report(Callback::new(client, event), then);
        }
        if kind != LeaveKind::Detached {
            self.kept.lock().remove(&(connection.connection, scope));
        }
    }
}

type Held = (Count<ConnectionId>, Share);

impl AppAuthorizer {
    /// Asks clients, if there is a place for the question.
    ///
    /// # Errors
    /// One sentence for the handler.
    fn open(
        &self,
        connection: &ConnectionInfo,
        publish: Publish,
        limit: Duration,
    ) -> Result<(AskedEverywhere, Held), String> {
        let most = self.hub.max_questions();
        let full = || "as many questions are open as realtime.max_questions allows".to_owned();
        let own = self.of_connection.take(connection.connection, (most / CONNECTIONS_SHARE).max(1)).ok_or_else(full)?;
        self.of_client.limit(most);
        let client = self.of_client.try_take(Holder::of(connection.client)).ok_or_else(full)?;
        let asked = self.hub.ask_everywhere(publish, limit, Moment::now()).map_err(|refusal| match refusal {
            Refusal::Unavailable => full(),
            refusal => refusal.to_string(),
        })?;
        Ok((asked, (own, client)))
    }

    /// What the app wants done now that a client has left: its own commands have nobody to carry them out, but others may
    /// hear of it, and be asked.
    fn epilogue(
        &self,
        answer: Answer,
        turn: &Arc<Turn>,
        connection: &Arc<ConnectionInfo>,
        identity: Option<&Arc<Identity>>,
    ) {
        match answer::decision(answer, turn, departed(turn), &self.hub) {
            Ok(decision) => {
                for command in decision.then {
                    match command {
                        // Where nobody is, nobody hears it.
                        Command::Publish(publish) => {
                            let hub = Arc::clone(&self.hub);
                            tokio::spawn(async move { hub.publish_shared(*publish, Moment::now()).await });
                        }
                        Command::Ask(inquiry) => self.ask_clients(connection, identity, *inquiry),
                        _ => {}
                    }
                }
            }
            Err(what) => warn!(kind = "disconnect", what, "the app's answer cannot be carried out"),
        }
    }

    /// What a handler wants done that has heard the answers to its question: in order, and for those who are still there.
    fn go_on(
        &self,
        answer: Answer,
        turn: &Arc<Turn>,
        connection: &Arc<ConnectionInfo>,
        identity: Option<&Arc<Identity>>,
    ) {
        if !self.hub.is_connected(turn.connection) {
            return self.epilogue(answer, turn, connection, identity);
        }
        let data = answer.data.clone();
        let Turn { connection, ticket, .. } = **turn;
        let decision = match answer::decision(answer, turn, departed(turn), &self.hub) {
            Ok(decision) => decision,
            Err(what) => return warn!(kind = "replies", what, "the app's answer cannot be carried out"),
        };
        let mut commands = Vec::new();
        if let Ok(consent) = decision.outcome {
            // One that is gone since keeps nothing.
            if let (Some(data), Some(kept)) = (data, self.kept.lock().get_mut(&(connection, Arc::clone(&turn.scope)))) {
                *kept = data;
            }
            commands.extend(consent.identity.map(|identity| Command::Identify { ticket: 0, identity }));
            if consent.data.is_some() {
                commands.push(Command::Acknowledge { ticket, data: consent.data, extras: consent.extras });
            }
        }
        for command in commands.into_iter().chain(decision.then) {
            self.hub.send_command(connection, command);
        }
    }
}

fn departed(turn: &Turn) -> Command {
    Command::Left { scope: Arc::clone(&turn.scope), alias: None, reason: "", kind: LeaveKind::Final }
}

/// When a handler's work is over and it has not acknowledged what it was asked, it never will.
fn settle_at_the_end(turn: &Turn, hub: &Arc<Hub>) {
    let (connection, ticket) = (turn.connection, turn.ticket);
    if ticket == 0 {
        return;
    }
    let (hub, runtime) = (Arc::downgrade(hub), Handle::current());
    turn.at_the_end(move || {
        runtime.spawn(async move {
            if let Some(hub) = hub.upgrade() {
                hub.send_command(connection, Command::Acknowledge { ticket, data: None, extras: Extras::default() });
            }
        });
    });
}

fn reply(from: ConnectionId, given: &AckReply) -> callbacks::Reply {
    let args = match &given.data {
        Payload::Json(json) => app_format::inline(json, &app_format::attached(&given.extras)).to_string(),
        Payload::Text(_) | Payload::Binary(_) => "[]".to_owned(),
    };
    callbacks::Reply {
        connection: from.to_string(),
        socket: given.alias.as_deref().map(Into::into),
        // It was checked when it came.
        args: RawValue::from_string(args).unwrap_or_default(),
    }
}

/// No answer is no consent.
fn unanswered(error: &CallbackError) -> Decision {
    let refusal = match error {
        CallbackError::TooMany => Refusal::TooMany { wait: Duration::from_secs(1) },
        CallbackError::Unavailable(_) | CallbackError::Nonsense(_) => Refusal::Unavailable,
    };
    Decision { outcome: Err(refusal), then: Vec::new() }
}

/// A scope, and what the client is called there.
type Part = (Arc<str>, Option<Arc<str>>);

fn part(command: &Command) -> Part {
    match command {
        Command::Connect { scope, alias, .. } => (Arc::clone(scope), alias.clone()),
        Command::Rpc(call) => (Arc::clone(&call.scope), call.alias.clone()),
        _ => (Arc::from(""), None),
    }
}

fn amends(amendment: &Amendment) -> Amends {
    let annotation = if let Change::Annotate(annotation) = &amendment.change { Some(annotation) } else { None };
    Amends {
        of: amendment.target.to_string(),
        change: amendment.change.label(),
        kind: annotation.map(|annotation| (*annotation.kind).into()),
        removed: annotation.is_some_and(|annotation| annotation.removes),
    }
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
