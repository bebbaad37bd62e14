//! What becomes of a message: its versions, changes of it, and what is said of it.

use std::sync::Arc;

use serde::Serialize;

use super::Call;
use super::answer::Answer;
use super::caller::Caller;
use super::messages::one_or_more;
use super::page::PageRequest;
use crate::realtime::ably::AblyDoor;
use crate::realtime::ably::amending::{check_alone, denied};
use crate::realtime::ably::capability::Operation;
use crate::realtime::ably::connections::random;
use crate::realtime::ably::machine::check_size;
use crate::realtime::ably::wire::annotation::AblyAnnotation;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::message::AblyMessage;
use crate::realtime::ably::wire::serial;
use crate::realtime::vocabulary::{Channel, Message, Position, PublishSeveral, Speaker};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What became of a change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    version_serial: Option<String>,
}

/// What became of an annotation.
#[derive(Debug, Serialize)]
struct Annotated {
    channel: String,
    serials: Vec<Option<String>>,
}

impl AblyDoor {
    pub(super) async fn read_message(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
        serial: &str,
    ) -> Result<Answer, AblyError> {
        let (_, message) = self.kept(call, caller, name, serial).await?;
        Ok(call.answer(200, &AblyMessage::shown(&message, call.style.format)))
    }

    pub(super) async fn read_versions(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
        serial: &str,
    ) -> Result<Answer, AblyError> {
        let (channel, message) = self.kept(call, caller, name, serial).await?;
        let versions = self.hub.versions(&channel, message.position, call.now);
        let show = |message: &Arc<Message>| AblyMessage::shown(message, call.style.format);
        page(call, "versions", &versions, show)
    }

    /// Changes a message: what the body's `action` says.
    pub(super) async fn change_message(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        (name, serial): (&str, &str),
        body: &[u8],
    ) -> Result<Answer, AblyError> {
        let bad = |words: &str| AblyError::new(40003, 400, words);
        let (mut messages, _) = one_or_more::<AblyMessage>(call.sends(), body)?;
        let [message] = &mut messages[..] else { return Err(bad("One message is changed at once")) };
        if message.change()?.is_none() {
            return Err(bad("Invalid action: a message is updated (1), deleted (2) or appended to (5)"));
        }
        if message.serial.get_or_insert_with(|| serial.to_owned()) != serial {
            return Err(bad("The serial in the body is not that in the path"));
        }
        caller.named(name)?;
        let mut visit = self.visit(call, caller).await?;
        let published = self.publish(call, caller, &mut visit, name, messages).await?;
        Ok(call.answer(200, &Changed { version_serial: published.serials.into_iter().flatten().next() }))
    }

    pub(super) async fn read_annotations(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
        serial: &str,
    ) -> Result<Answer, AblyError> {
        let (channel, message) = self.kept(call, caller, name, serial).await?;
        let annotations = self.hub.annotations(&channel, message.position, call.now);
        page(call, "annotations", &annotations, |message| AblyAnnotation::shown(message, call.style.format))
    }

    pub(super) async fn annotate(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        (name, serial): (&str, &str),
        body: &[u8],
    ) -> Result<Answer, AblyError> {
        let (annotations, _) = one_or_more::<AblyAnnotation>(call.sends(), body)?;
        let (channel, unqualified) = caller.named(name)?;
        if !caller.auth.capability.allows(Operation::AnnotationPublish, unqualified) {
            return Err(denied(Operation::AnnotationPublish));
        }
        let settings = caller.auth.app.settings();
        check_size(&annotations, settings.max_message.bytes())?;
        let base = URL_SAFE_NO_PAD.encode(random::<9>());
        let mut speaker = Speaker { user: caller.client_id.clone(), connection: None };
        let mut drafts = Vec::with_capacity(annotations.len());
        for (index, mut annotation) in annotations.into_iter().enumerate() {
            if annotation.message_serial.get_or_insert_with(|| serial.to_owned()) != serial {
                return Err(AblyError::new(40003, 400, "The messageSerial in the body is not the serial in the path"));
            }
            speaker.user = caller.speaks_as(annotation.client_id.take().as_deref())?;
            drafts.push(annotation.draft(|| format!("{base}:{index}"), None)?);
        }
        if drafts.is_empty() {
            return Err(AblyError::new(40000, 400, "There is no annotation in the body"));
        }
        check_alone(&drafts)?;
        let (retain, speakers) = (settings.retain, vec![speaker]);
        let mut visit = self.visit(call, caller).await?;
        let several = PublishSeveral { ticket: 0, channel, drafts, echo: true, retain, speakers };
        let receipts = visit.publish(several, call.now).await?;
        let serials = receipts.into_iter().map(serial::of).collect();
        Ok(call.answer(201, &Annotated { channel: name.to_owned(), serials }))
    }

    /// The message that somebody asks for by its `serial`, and its channel, whose past it may read.
    async fn kept(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
        serial: &str,
    ) -> Result<(Channel, Arc<Message>), AblyError> {
        let channel = self.readable(call, caller, name, Operation::History).await?;
        let none = || AblyError::new(40400, 404, "There is no such message, or it is no longer kept");
        let position = serial::position(serial).ok_or_else(none)?;
        self.caught_up(&channel, Some(position)).await?;
        let message = self.hub.message(&channel, position, call.now).ok_or_else(none)?;
        Ok((channel, message))
    }
}

/// The part that is asked for of `all`, which are in the order of their places.
fn page<T: Serialize>(
    call: &Call<'_>,
    last_segment: &str,
    all: &[Arc<Message>],
    show: impl Fn(&Arc<Message>) -> T,
) -> Result<Answer, AblyError> {
    let page = PageRequest::read(call.query())?;
    let is_within = |message: &&Arc<Message>| (page.from_ms..=page.to_ms).contains(&made(message).1);
    let mut wanted: Vec<&Arc<Message>> = all.iter().filter(is_within).collect();
    if page.backwards {
        wanted.reverse();
    }
    let (items, next) = page.cut(wanted, |message| made(message).0.to_string());
    let shown: Vec<T> = items.into_iter().map(show).collect();
    Ok(call.answer(200, &shown).with_links(page.links(last_segment, call.query(), next.as_deref())))
}

/// Where and when it was made: of a version itself, not the message.
fn made(message: &Message) -> (Position, u64) {
    let amended = message.amended.as_ref();
    amended.map_or((message.position, message.unix_ms), |amended| (amended.version, amended.version_ms))
}
