//! What is said in a channel: publishing, and reading it back.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Call;
use super::answer::Answer;
use super::caller::Caller;
use super::page::PageRequest;
use super::visit::Visit;
use crate::http::query::parameter;
use crate::realtime::ably::AblyDoor;
use crate::realtime::ably::amending::{Speaking, check_alone};
use crate::realtime::ably::capability::Operation;
use crate::realtime::ably::connections::{Represented, not_represented, random};
use crate::realtime::ably::machine::check_size;
use crate::realtime::ably::wire::Format;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::list::Few;
use crate::realtime::ably::wire::message::AblyMessage;
use crate::realtime::ably::wire::serial;
use crate::realtime::vocabulary::{Draft, Position, PublishSeveral, Span, Speaker};

/// Messages of one request, at most.
const MAX_MESSAGES: usize = 1_000;

/// What became of what was published.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishReply {
    pub channel: String,
    pub message_id: String,
    pub serials: Vec<Option<String>>,
}

/// Reads one or a list.
///
/// # Errors
/// 40000.
pub fn one_or_more<T: DeserializeOwned>(format: Format, body: &[u8]) -> Result<(Vec<T>, bool), AblyError> {
    let is_list = match format {
        Format::Json => body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'['),
        // Arrays of MessagePack: fixarray, array 16, array 32.
        Format::Msgpack => matches!(body.first(), Some(0x90..=0x9f | 0xdc | 0xdd)),
    };
    let read =
        if is_list { format.read::<Few<T>>(body).map(|few| few.0) } else { format.read(body).map(|one| vec![one]) };
    let read = read.map_err(|why| AblyError::new(40000, 400, format!("Invalid body: {why}")))?;
    Ok((read, is_list))
}

impl AblyDoor {
    pub(super) async fn publish_messages(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
        body: &[u8],
    ) -> Result<Answer, AblyError> {
        let (messages, _) = one_or_more::<AblyMessage>(call.sends(), body)?;
        // Before the app is asked about anybody: who may not say anything new need not come in for it.
        if messages.iter().all(|message| matches!(message.change(), Ok(None))) {
            caller.channel(name, Operation::Publish)?;
        }
        let mut visit = self.visit(call, caller).await?;
        let published = self.publish(call, caller, &mut visit, name, messages).await?;
        Ok(call.answer(201, &published))
    }

    /// Publishes all of `messages` in one channel, or none.
    ///
    /// # Errors
    /// What is wrong with them, or why the caller may not.
    pub(super) async fn publish(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        visit: &mut Visit,
        name: &str,
        messages: Vec<AblyMessage>,
    ) -> Result<PublishReply, AblyError> {
        let (channel, unqualified) = caller.named(name)?;
        if messages.is_empty() || messages.len() > MAX_MESSAGES {
            return Err(AblyError::new(40000, 400, format!("1 to {MAX_MESSAGES} messages are published at once")));
        }
        let settings = caller.auth.app.settings();
        check_size(&messages, settings.max_message.bytes())?;
        let message_id = common_id(&messages)?;
        let represented = self.carrying.represented(caller.auth.app.id(), &messages).await?;
        let (drafts, speakers) = drafts((caller, &represented), unqualified, messages, &message_id)?;
        let retain = settings.retain;
        let several = PublishSeveral { ticket: 0, channel, drafts, echo: true, retain, speakers };
        let receipts = visit.publish(several, call.now).await?;
        let serials = receipts.into_iter().map(serial::of).collect();
        Ok(PublishReply { channel: name.to_owned(), message_id, serials })
    }

    pub(super) async fn read_history(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
        last_segment: &str,
    ) -> Result<Answer, AblyError> {
        let channel = self.readable(call, caller, name, Operation::History).await?;
        let page = PageRequest::read(call.query())?;
        let span = span(&page, parameter(call.query(), "from_serial").as_deref())?;
        let last_before = |before: Position| Position { offset: before.offset.saturating_sub(1), ..before };
        self.caught_up(&channel, span.after.or(span.before.map(last_before))).await?;
        let (messages, more) = self.hub.read(&channel, &span, page.limit, call.now);
        let next = messages.last().filter(|_| more).map(|message| message.position.to_string());
        let shown: Vec<_> = messages.iter().map(|message| AblyMessage::shown(message, call.style.format)).collect();
        let links = page.links(last_segment, call.query(), next.as_deref());
        Ok(call.answer(200, &shown).with_links(links))
    }
}

/// The messages as the hub takes them, and as whom each is said: the caller, or one of those that are `represented`.
fn drafts(
    (caller, represented): (&Caller, &HashMap<String, Represented>),
    name: &str,
    messages: Vec<AblyMessage>,
    base: &str,
) -> Result<(Vec<Draft>, Vec<Speaker>), AblyError> {
    let mut speakers = Vec::with_capacity(messages.len());
    let mut drafts = Vec::with_capacity(messages.len());
    for (index, mut message) in messages.into_iter().enumerate() {
        let said_by = message.take_speaker();
        let (speaker, connection) = match message.connection_key.take() {
            None => (Speaker { user: caller.speaks_as(said_by.as_deref())?, connection: None }, None),
            Some(key) => {
                let meant = represented.get(&key).ok_or_else(not_represented)?;
                let speaker = Speaker { user: meant.client.clone(), connection: meant.connection };
                (speaker, Some(&*meant.id))
            }
        };
        let speaking = Speaking { may: &caller.auth.capability, name, user: speaker.user.as_ref() };
        let draft = speaking.draft(message, || format!("{base}:{index}"), connection)?;
        drafts.push(draft);
        speakers.push(speaker);
    }
    check_alone(&drafts)?;
    Ok((drafts, speakers))
}

/// The part of a channel's past that a page is of; `upto` is a serial of what is to be in it as the latest.
fn span(page: &PageRequest, upto: Option<&str>) -> Result<Span, AblyError> {
    let bad = |what: &str| AblyError::new(40000, 400, format!("Invalid {what}: it is no serial of a channel"));
    let cursor = page.cursor.as_deref().map(|text| serial::position(text).ok_or_else(|| bad("cursor"))).transpose()?;
    let upto = upto.map(|text| serial::position(text).ok_or_else(|| bad("from_serial"))).transpose()?;
    let upto = upto.map(|upto| Position { offset: upto.offset.saturating_add(1), ..upto });
    let (after, before) = if page.backwards { (None, cursor.or(upto)) } else { (cursor, upto) };
    Ok(Span { after, before, from_ms: page.from_ms, to_ms: page.to_ms, backwards: page.backwards })
}

/// By what the messages of one request are known: their own ids, where they have such, else one made here.
///
/// # Errors
/// 40031 for ids of several that do not belong together.
fn common_id(messages: &[AblyMessage]) -> Result<String, AblyError> {
    let id = |message: &AblyMessage| message.id.clone().filter(|id| !id.is_empty());
    let Some(first) = messages.iter().find_map(id) else {
        return Ok(URL_SAFE_NO_PAD.encode(random::<9>()));
    };
    if messages.len() == 1 {
        return Ok(first.strip_suffix(":0").map_or(first.clone(), str::to_owned));
    }
    let base = first.rsplit_once(':').map_or("", |(base, _)| base);
    let is_in_place = |(index, message): (usize, &AblyMessage)| id(message) == Some(format!("{base}:{index}"));
    if base.is_empty() || !messages.iter().enumerate().all(is_in_place) {
        let words = "Invalid publish request: ids of several messages are BASE:0, BASE:1 and so on";
        return Err(AblyError::new(40031, 400, words));
    }
    Ok(base.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::Epoch;

    fn messages(ids: &[Option<&str>]) -> Vec<AblyMessage> {
        let message = |id: &Option<&str>| AblyMessage { id: id.map(Into::into), ..AblyMessage::default() };
        ids.iter().map(message).collect()
    }

    #[test]
    fn ids_of_several_belong_together() {
        let id = |ids: &[Option<&str>]| common_id(&messages(ids)).map_err(|error| error.code);
        assert_eq!(id(&[Some("own")]), Ok("own".into()));
        assert_eq!(id(&[Some("a:b:0"), Some("a:b:1")]), Ok("a:b".into()));
        assert_eq!(id(&[Some("a:0")]), Ok("a".into()));
        assert_eq!(id(&[None, None]).map(|id| id.len()), Ok(12));
        for bad in [[Some("a:0"), Some("a:0")], [Some("a:0"), None], [Some("a:1"), Some("a:0")], [Some("a"), Some("b")]]
        {
            assert_eq!(id(&bad), Err(40031), "{bad:?}");
        }
    }

    #[test]
    fn one_message_or_a_list_of_them() {
        for format in [Format::Json, Format::Msgpack] {
            let (one, several) = (&messages(&[Some("a")])[0], messages(&[Some("a"), None]));
            let read = |body: &[u8]| one_or_more::<AblyMessage>(format, body).map_err(|error| error.code);
            assert_eq!(read(&format.bytes(one)), Ok((vec![one.clone()], false)));
            assert_eq!(read(&format.bytes(&several)), Ok((several, true)));
            assert_eq!((read(b""), read(b"\"x\"")), (Err(40000), Err(40000)));
        }
        let read = one_or_more::<AblyMessage>(Format::Json, b" [ { } ]");
        assert_eq!(read, Ok((messages(&[None]), true)));
    }

    #[test]
    fn a_page_is_a_part_of_the_past() {
        let at = |offset| Position { epoch: Epoch(1), offset };
        let page = |query| PageRequest::read(Some(query)).unwrap();
        let ends = |query, upto| span(&page(query), upto).map(|span| (span.after, span.before)).map_err(|no| no.code);
        assert_eq!(ends("", None), Ok((None, None)));
        assert_eq!(ends("", Some("1-7")), Ok((None, Some(at(8)))), "itself too");
        assert_eq!(ends("cursor=1-5", Some("1-7")), Ok((None, Some(at(5)))));
        assert_eq!(ends("cursor=1-5&direction=forwards", Some("1-7")), Ok((Some(at(5)), Some(at(8)))));
        assert_eq!((ends("cursor=x", None), ends("", Some("x"))), (Err(40000), Err(40000)));
    }
}
