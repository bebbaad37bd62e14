//! Several channels in one request, each with an outcome of its own.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::Call;
use super::answer::Answer;
use super::caller::Caller;
use super::messages::{PublishReply, one_or_more};
use super::visit::Visit;
use crate::http::query::parameter;
use crate::realtime::ably::AblyDoor;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::list::Few;
use crate::realtime::ably::wire::message::AblyMessage;
use crate::realtime::ably::wire::presence::AblyPresence;

/// Specifications of one request, and channels of one of them, at most.
const MAX_ITEMS: usize = 100;

/// What is published where.
#[derive(Debug, Deserialize)]
struct Spec {
    #[serde(deserialize_with = "one_or_list")]
    channels: Vec<String>,
    messages: Messages,
}

/// One message, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Messages {
    Several(Few<AblyMessage>),
    One(Box<AblyMessage>),
}

/// The outcomes of one specification.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes<T> {
    success_count: usize,
    failure_count: usize,
    results: Vec<Outcome<T>>,
}

/// Of one thing: done, or why not.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome<T> {
    Done(T),
    /// The name of what it is about stands before it.
    Failed(Failed),
}

/// What was not done.
#[derive(Debug, Serialize)]
pub struct Failed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    pub error: AblyError,
}

/// The members of one channel.
#[derive(Debug, Serialize)]
struct Present {
    channel: String,
    presence: Vec<AblyPresence>,
}

impl<T> FromIterator<Outcome<T>> for Outcomes<T> {
    fn from_iter<I: IntoIterator<Item = Outcome<T>>>(results: I) -> Outcomes<T> {
        let results: Vec<Outcome<T>> = results.into_iter().collect();
        let success_count = results.iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count();
        Outcomes { success_count, failure_count: results.len() - success_count, results }
    }
}

impl<T: Serialize> Outcomes<T> {
    /// Versions before 3 have the results alone.
    pub fn answer(self, call: &Call<'_>, status: u16) -> Answer {
        if is_old(call) { call.answer(status, &self.results) } else { call.answer(status, &self) }
    }
}

fn is_old(call: &Call<'_>) -> bool {
    let version = call.head.headers.get("x-ably-version").and_then(|value| value.to_str().ok());
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major < 3)
}

impl AblyDoor {
    pub(super) async fn publish_batch(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        body: &[u8],
    ) -> Result<Answer, AblyError> {
        let (specs, is_list) = one_or_more::<Spec>(call.sends(), body)?;
        let is_short = |count: usize| (1..=MAX_ITEMS).contains(&count);
        if !is_short(specs.len()) || !specs.iter().all(|spec| is_short(spec.channels.len())) {
            let words = format!("A batch has 1 to {MAX_ITEMS} specifications for 1 to {MAX_ITEMS} channels each");
            return Err(AblyError::new(40000, 400, words));
        }
        let mut visit = self.visit(call, caller).await?;
        let mut all = Vec::with_capacity(specs.len());
        for spec in specs {
            all.push(self.publish_spec(call, caller, &mut visit, spec).await);
        }
        match (is_list, all.len()) {
            (true, 2..) => Ok(call.answer(201, &all)),
            (true, _) if !is_old(call) => Ok(call.answer(201, &all)),
            _ => Ok(all.remove(0).answer(call, 201)),
        }
    }

    async fn publish_spec(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        visit: &mut Visit,
        spec: Spec,
    ) -> Outcomes<PublishReply> {
        let messages = match spec.messages {
            Messages::Several(messages) => messages.0,
            Messages::One(message) => vec![*message],
        };
        let mut outcomes = Vec::with_capacity(spec.channels.len());
        for channel in spec.channels {
            // Who hears it writes first what waits: a batch is no flood.
            self.hub.yield_to_writers().await;
            outcomes.push(match self.publish(call, caller, visit, &channel, messages.clone()).await {
                Ok(published) => Outcome::Done(published),
                Err(error) => Outcome::Failed(Failed { channel: Some(channel), target: None, error }),
            });
        }
        outcomes.into_iter().collect()
    }

    pub(super) async fn batch_presence(&self, call: &Call<'_>, caller: &Caller) -> Result<Answer, AblyError> {
        let names = parameter(call.query(), "channels").unwrap_or_default();
        let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        if !(1..=MAX_ITEMS).contains(&names.len()) {
            return Err(AblyError::new(
                40000,
                400,
                format!("channels has 1 to {MAX_ITEMS} names, with commas between"),
            ));
        }
        let mut outcomes: Vec<Outcome<Present>> = Vec::with_capacity(names.len());
        let mut reader = self.reader(call, caller).await?;
        for name in names {
            outcomes.push(match self.members_of(call, caller, reader.as_mut(), name).await {
                Ok(presence) => Outcome::Done(Present { channel: name.to_owned(), presence }),
                Err(error) => Outcome::Failed(Failed { channel: Some(name.to_owned()), target: None, error }),
            });
        }
        let outcomes: Outcomes<Present> = outcomes.into_iter().collect();
        Ok(outcomes.answer(call, 200))
    }
}

/// One name, or a list of them.
fn one_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(name) => Ok(vec![name]),
        list => serde_json::from_value(list).map_err(|_| D::Error::custom("channels is a name or a list of names")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::ably::wire::Format;
    use crate::realtime::ably::wire::data::Data;
    use serde_json::json;

    #[test]
    fn a_specification_is_read_in_its_shapes() {
        let message = AblyMessage { data: Some(Data::Bytes("x".into())), ..AblyMessage::default() };
        #[derive(Serialize)]
        struct Sent {
            channels: Vec<&'static str>,
            messages: Vec<AblyMessage>,
        }
        let sent = Sent { channels: vec!["a", "b"], messages: vec![message.clone()] };
        let spec: Spec = Format::Msgpack.read(&Format::Msgpack.bytes(&sent)).unwrap();
        let Messages::Several(messages) = spec.messages else { panic!("one") };
        assert_eq!((spec.channels, messages.0), (vec!["a".to_owned(), "b".to_owned()], vec![message]));
        let one: Spec = serde_json::from_value(json!({ "channels": "a", "messages": { "data": "x" } })).unwrap();
        assert!(one.channels == ["a"] && matches!(one.messages, Messages::One(_)));
        for bad in [json!({}), json!({ "channels": 1, "messages": [] }), json!({ "channels": "a", "messages": "x" })] {
            assert!(serde_json::from_value::<Spec>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn outcomes_are_counted() {
        let failed = Failed { channel: Some("b".into()), target: None, error: AblyError::new(40160, 401, "no") };
        let outcomes: Outcomes<u8> = [Outcome::Done(1), Outcome::Failed(failed)].into_iter().collect();
        let expected = json!({ "successCount": 1, "failureCount": 1, "results": [
            1, { "channel": "b", "error": { "code": 40160, "statusCode": 401, "message": "no" } },
        ] });
        assert_eq!(serde_json::to_value(outcomes).unwrap(), expected);
    }
}
