//! What becomes of a kept message: it is amended, and from then on shown as it is by now, in its first place.

use std::sync::Arc;
use std::time::Instant;

use super::{Keeps, Log, Owner, StoredMessage, detached};
use crate::realtime::vocabulary::{
    Amended, Amendment, Annotation, Change, Draft, Message, Origin, Payload, Position, Refusal, Summary,
};

/// What has become of a message.
#[derive(Debug, Default)]
pub struct Revision {
    /// The latest version, and the offset of the change that made it.
    version: Option<(u64, Arc<Message>)>,
    /// What is said of it, and the offset of the last that was.
    summary: Option<(u64, Arc<Summary>)>,
    /// What the versions have of their own, in bytes.
    own: usize,
}

impl Revision {
    /// Roughly what it holds in memory, in bytes.
    pub fn size(&self) -> usize {
        let summary = self.summary.as_ref().map_or(0, |(_, summary)| summary.bytes() + size_of::<Summary>());
        size_of::<Revision>() + self.own + summary
    }

    fn summary(&self) -> Option<Arc<Summary>> {
        self.summary.as_ref().map(|(_, summary)| Arc::clone(summary))
    }
}

/// A change of a message, as it came.
pub struct Amending {
    pub amendment: Amendment,
    pub draft: Draft,
    pub origin: Option<Origin>,
    pub unix_ms: u64,
    /// The longest that it may become, in bytes.
    pub most: usize,
    /// Those who are told of it may not have heard what was before: they are told all of it.
    pub tells_whole: bool,
}

impl StoredMessage {
    /// As it is by now; nothing of what changes another.
    pub fn by_now(&self) -> Option<Arc<Message>> {
        if self.message.amended.is_some() {
            return None;
        }
        let Some(revision) = &self.revision else { return Some(Arc::clone(&self.message)) };
        let version = revision.version.as_ref().map_or(&self.message, |(_, version)| version);
        let (position, summary) = (self.message.position, revision.summary());
        Some(Arc::new(Message { position, summary, ..Message::clone(version) }))
    }
}

impl Log {
    /// Changes an earlier message: the change is a message of its own, which is given back as subscribers are told of it,
    /// and is kept as [`Log::append`] says.
    ///
    /// # Errors
    /// [`Refusal::Forgotten`]: it is no longer kept, or never was. [`Refusal::Forbidden`]: it is another's. What does not go
    /// together with it.
    pub fn amend(
        &mut self,
        amending: Amending,
        keeps: Keeps,
        room: usize,
        owner: Option<Owner>,
        now: Instant,
    ) -> Result<Arc<Message>, Refusal> {
        let Amending { amendment, draft, origin, unix_ms, most, tells_whole } = amending;
        let index = self.original(amendment.target).ok_or(Refusal::Forgotten)?;
        let position = self.position(self.top + 1);
        self.may_amend(&amendment)?;
        let target = Arc::clone(&self.kept[index].message);
        let amended = Amended {
            target: target.position,
            target_ms: target.unix_ms,
            change: amendment.change.clone(),
            version: position,
            version_ms: unix_ms,
            by: origin.clone(),
        };
        let told = match &amendment.change {
            Change::Annotate(annotation) => {
                let message = Message {
                    channel: target.channel.clone(),
                    position,
                    unix_ms,
                    origin,
                    draft,
                    amended: Some(Box::new(amended)),
                    summary: None,
                };
                self.annotate(index, annotation, detached(message))?
            }
            _ => self.revise(index, &amendment, draft, amended, (most, tells_whole))?,
        };
        self.top += 1;
        let kept = Arc::new(Message { summary: None, ..Message::clone(&told) });
        if keeps.is_nothing() {
            self.forget(self.kept.len());
        } else {
            self.keep(kept, keeps, room, owner, now);
            while self.bytes > room && !self.kept.is_empty() {
                self.forget(1);
            }
        }
        Ok(told)
    }

    /// Whether a message is here that this would change, and may.
    ///
    /// # Errors
    /// As [`Log::amend`].
    pub fn may_amend(&self, amendment: &Amendment) -> Result<(), Refusal> {
        let index = self.original(amendment.target).ok_or(Refusal::Forgotten)?;
        let user = self.kept[index].message.origin.as_ref().and_then(|origin| origin.user.as_ref());
        if amendment.only_of.as_ref().is_some_and(|only| Some(only) != user) {
            return Err(Refusal::Forbidden);
        }
        Ok(())
    }

    /// Where the message is that `position` means.
    fn original(&self, position: Position) -> Option<usize> {
        let at = |position: Position| {
            let is_here = self.is_of_here(position) && position.offset >= self.oldest();
            let index = self.index(position.offset);
            (is_here && index < self.kept.len()).then_some(index)
        };
        let index = at(position)?;
        match &self.kept[index].message.amended {
            Some(amended) => at(amended.target),
            None => Some(index),
        }
    }

    /// A new version of the message at `index`; what is told of it.
    fn revise(
        &mut self,
        index: usize,
        amendment: &Amendment,
        draft: Draft,
        amended: Amended,
        (most, tells_whole): (usize, bool),
    ) -> Result<Arc<Message>, Refusal> {
        let kept = &self.kept[index];
        let revision = kept.revision.as_ref();
        let before = revision.and_then(|revision| revision.version.as_ref());
        let before = before.map_or(&kept.message, |(_, version)| version);
        let summary = revision.and_then(|revision| revision.summary());
        let whole = merged(&before.draft, &draft, amendment)?;
        if whole.len() > most {
            return Err(Refusal::TooBig { most });
        }
        let (position, offset) = (amended.version, amended.version.offset);
        let appends = amended.change == Change::Append;
        // Who is told of all of it is told of other content.
        let now =
            Box::new(if appends { Amended { change: Change::Update, ..amended.clone() } } else { amended.clone() });
        let whole = Message { position, draft: whole, amended: Some(now), ..Message::clone(before) };
        let version = detached(whole);
        let told = if appends && !tells_whole {
            // Who has heard what was before needs no more than this.
            let draft = Draft { data: draft.data, ..version.draft.clone() };
            detached(Message { draft, summary, amended: Some(Box::new(amended)), ..Message::clone(&version) })
        } else {
            Arc::new(Message { summary, ..Message::clone(&version) })
        };
        let own = if appends { version.size() } else { size_of::<Message>() };
        self.become_at(index, |revision| {
            revision.version = Some((offset, version));
            revision.own = own;
            Ok(told)
        })
    }

    /// Counts an annotation of the message at `index`; what is told of it.
    fn annotate(
        &mut self,
        index: usize,
        annotation: &Annotation,
        message: Arc<Message>,
    ) -> Result<Arc<Message>, Refusal> {
        let name = message.draft.name.as_deref();
        let user = message.origin.as_ref().and_then(|origin| origin.user.as_deref());
        let summary = self.become_at(index, |revision| {
            let mut summary = revision.summary.take();
            // In place: nobody else has it, as a rule, and it may be long. What is refused changes nothing of it.
            let (last, counted) = summary.get_or_insert_default();
            let outcome = Arc::make_mut(counted).count(annotation, name, user);
            if outcome.is_ok() {
                *last = message.position.offset;
            }
            // One that came to be for what was refused is none.
            revision.summary = summary.filter(|(last, _)| *last > 0);
            outcome.map(|()| revision.summary()).map_err(Refusal::Malformed)
        })?;
        Ok(Arc::new(Message { summary, ..Message::clone(&message) }))
    }

    /// What `change` makes of the message at `index`; nothing has become of it where that is refused.
    fn become_at<T>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Revision) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let kept = &mut self.kept[index];
        let before = kept.revision.as_ref().map_or(0, |revision| revision.size());
        let mut revision = kept.revision.take().unwrap_or_default();
        let outcome = change(&mut revision);
        if outcome.is_ok() || before > 0 {
            self.bytes = self.bytes + revision.size() - before;
            kept.revision = Some(revision);
            kept.forms = Vec::new();
        }
        outcome
    }

    /// What is told of `kept` to somebody who comes to it later: a message as it is by now; of its changes the last, whole.
    /// Nothing of those before that.
    pub(super) fn retold(&self, kept: &StoredMessage) -> Option<Arc<Message>> {
        let offset = kept.message.position.offset;
        let Some(amended) = &kept.message.amended else { return kept.by_now() };
        let revision = self.original(amended.target).and_then(|index| self.kept[index].revision.as_ref());
        // What it changed is gone: nothing is known but the change.
        let Some(revision) = revision else { return Some(Arc::clone(&kept.message)) };
        if let Change::Annotate(_) = amended.change {
            let summary = revision.summary.as_ref().filter(|(last, _)| *last == offset);
            let summary = summary.map(|(_, summary)| Arc::clone(summary));
            return Some(Arc::new(Message { summary, ..Message::clone(&kept.message) }));
        }
        let (_, version) = revision.version.as_ref().filter(|(last, _)| *last == offset)?;
        Some(Arc::new(Message { summary: revision.summary(), ..Message::clone(version) }))
    }

    /// The kept message that `position` means, as it is by now.
    pub fn get(&self, position: Position) -> Option<Arc<Message>> {
        self.kept[self.original(position)?].by_now()
    }

    /// All versions of the kept message that `position` means, the first before the others.
    pub fn versions(&self, position: Position) -> Vec<Arc<Message>> {
        let Some(index) = self.original(position) else { return Vec::new() };
        let mut versions = vec![Arc::clone(&self.kept[index].message)];
        for change in self.amendments_of(index) {
            let Some(amended) = change.amended.as_ref().filter(|amended| is_version(&amended.change)) else { continue };
            let before = &versions[versions.len() - 1].draft;
            let mut version = Message::clone(change);
            if amended.change == Change::Append
                && let Ok(data) = joined(&before.data, &change.draft.data)
            {
                version.draft.data = data;
                version.amended = Some(Box::new(Amended { change: Change::Update, ..Amended::clone(amended) }));
            }
            versions.push(Arc::new(version));
        }
        versions
    }

    /// What is kept of what was said of the message that `position` means, oldest first.
    pub fn annotations(&self, position: Position) -> Vec<Arc<Message>> {
        let Some(index) = self.original(position) else { return Vec::new() };
        let is_annotation =
            |message: &&Arc<Message>| message.amended.as_ref().is_some_and(|amended| !is_version(&amended.change));
        self.amendments_of(index).filter(is_annotation).map(Arc::clone).collect()
    }

    fn amendments_of(&self, index: usize) -> impl Iterator<Item = &Arc<Message>> {
        let target = self.kept[index].message.position;
        let is_of =
            move |message: &&Arc<Message>| message.amended.as_ref().is_some_and(|amended| amended.target == target);
        self.kept.range(index + 1..).map(|kept| &kept.message).filter(is_of)
    }
}

fn is_version(change: &Change) -> bool {
    !matches!(change, Change::Annotate(_))
}

/// What comes of a change: what it gives, and of what was before the rest.
fn merged(before: &Draft, change: &Draft, amendment: &Amendment) -> Result<Draft, Refusal> {
    let data = match amendment.change {
        _ if amendment.keeps_data => before.data.clone(),
        Change::Append => joined(&before.data, &change.data)?,
        _ => change.data.clone(),
    };
    Ok(Draft {
        name: change.name.clone().or_else(|| before.name.clone()),
        data,
        extras: change.extras.over(&before.extras),
        id: change.id.clone(),
        amends: None,
        ..before.clone()
    })
}

fn joined(before: &Payload, more: &Payload) -> Result<Payload, Refusal> {
    match (before, more) {
        (before, more) if more.is_empty() => Ok(before.clone()),
        (Payload::Text(before), Payload::Text(more)) => Ok(Payload::Text(format!("{before}{more}").into())),
        (Payload::Binary(before), Payload::Binary(more)) => {
            Ok(Payload::Binary([&before[..], &more[..]].concat().into()))
        }
        _ => Err(Refusal::Malformed("only text goes on with text, and bytes with bytes".into())),
    }
}
