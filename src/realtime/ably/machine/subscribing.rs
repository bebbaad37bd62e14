//! Into channels and out of them.

use std::sync::Arc;

use super::attachment::{Asked, Attachment, Wish, granted, may_count, mode, qualified};
use super::{ATTACH, AblyMachine, DETACH, DROP, SYNC};
use crate::realtime::ably::apps::AblyApp;
use crate::realtime::ably::wire::Format;
use crate::realtime::ably::wire::encode::{AblyEncoder, Hears};
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::occupancy;
use crate::realtime::ably::wire::presence::AblyPresence;
use crate::realtime::ably::wire::protocol::{SaidFrame, ToldFrame, action, flag};
use crate::realtime::dialect::{Encoding, Step};
use crate::realtime::vocabulary::{
    Channel, Command, Member, Moment, Occupancy, Position, Recovery, Since, Subscribe, Subscribed,
};

/// Members in one SYNC, at most.
const SYNC_PAGE: usize = 100;

impl AblyMachine {
    pub(super) fn attach(&mut self, said: SaidFrame, step: &mut Step) {
        let written = said.channel.unwrap_or_default();
        let fail = |machine: &Self, error: &AblyError, step: &mut Step| {
            let told = ToldFrame {
                action: action::ERROR,
                channel: Some(&written),
                error: Some(error),
                ..ToldFrame::default()
            };
            machine.tell(&told, step);
        };
        let app = Arc::clone(&self.opening.app);
        let read = qualified(&written).and_then(|(params, name)| {
            let channel = app.channel(name)?;
            let may = &self.opening.auth.capability;
            let (flags, serial) = (said.flags.unwrap_or_default(), said.channel_serial.as_deref());
            let wish = Wish::read(name, may, flags, params, said.params.unwrap_or_default(), serial)?;
            Ok((channel, wish))
        });
        let (channel, wish) = match read {
            Ok(read) => read,
            Err(error) => return fail(self, &error, step),
        };
        let before = self.channels.get(&channel);
        let hears = Attachment::hears(wish.modes);
        // It is heard by one name at a time, and in one way: the last.
        let is_same =
            |before: &&Attachment| before.written(app.prefix()) == written && Attachment::hears(before.modes) == hears;
        let encoding = match before.filter(is_same) {
            Some(before) => before.encoding().cloned(),
            None => heard_as(&app, self.manner.format, &written, hears),
        };
        let since = wish.since;
        let attachment = Attachment::new(channel, app.prefix(), &written, encoding, wish);
        step.command(self.wish(&attachment, since));
        self.channels.insert(attachment);
    }

    fn wish(&self, attachment: &Attachment, since: Since) -> Command {
        let (has, hears) = (|bit| attachment.modes & bit != 0, Attachment::hears(attachment.modes));
        Command::Subscribe(Subscribe {
            ticket: ATTACH,
            since,
            messages: hears.messages || hears.annotations,
            notices: has(mode::PRESENCE_SUBSCRIBE),
            occupancy: attachment.has_watch(),
            publishes: has(mode::PUBLISH),
            enters: has(mode::PRESENCE),
            retain: self.opening.app.settings().retain,
            ..Subscribe::to(attachment.channel.clone())
        })
    }

    pub(super) fn subscribed(&mut self, subscribed: &Subscribed, step: &mut Step) {
        let Some(attachment) = self.channels.get_mut(&subscribed.channel).filter(|_| subscribed.ticket == ATTACH)
        else {
            // The app's wish, of which this protocol has no word.
            step.command(Command::Unsubscribe { ticket: DROP, channel: subscribed.channel.clone() });
            return;
        };
        attachment.is_mutable = subscribed.is_mutable;
        if !subscribed.is_mutable {
            attachment.modes &= !mode::ANNOTATION;
        }
        let is_first = std::mem::take(&mut attachment.is_attaching);
        let Some(attachment) = self.channels.get(&subscribed.channel) else { return };
        let is_resumed = match (attachment.asked, subscribed.recovery) {
            (Asked::Continuity, Recovery::Complete(_)) => true,
            // It was in all the time.
            (Asked::Continuity, Recovery::Live) => is_first,
            _ => false,
        };
        let has_backlog = attachment.asked == Asked::Rewind && matches!(subscribed.recovery, Recovery::Complete(1..));
        let is_lost = matches!(attachment.asked, Asked::Continuity | Asked::Unknown) && !is_resumed;
        let error = is_lost.then(|| {
            AblyError::new(80018, 400, "Unable to recover the channel: messages since then are no longer kept")
        });
        let mut flags = attachment.modes;
        for (holds, bit) in [
            (!subscribed.members.is_empty(), flag::HAS_PRESENCE),
            (has_backlog, flag::HAS_BACKLOG),
            (is_resumed, flag::RESUMED),
        ] {
            if holds {
                flags |= bit;
            }
        }
        self.tell(
            &ToldFrame {
                action: action::ATTACHED,
                channel: Some(attachment.written(self.opening.app.prefix())),
                flags: Some(flags),
                channel_serial: Some(subscribed.start().to_string()),
                params: attachment.params(),
                error: error.as_ref(),
                ..ToldFrame::default()
            },
            step,
        );
        if !subscribed.members.is_empty() {
            self.sync(&subscribed.channel, &subscribed.members, step);
        }
    }

    pub(super) fn not_attached(&mut self, channel: &Channel, error: &AblyError, step: &mut Step) {
        let Some(attachment) = self.channels.remove(channel) else { return };
        step.command(Command::Unsubscribe { ticket: DROP, channel: channel.clone() });
        // What may be possible later is asked for again by itself.
        let action = if error.status >= 500 || error.status == 429 { action::DETACHED } else { action::ERROR };
        let written = Some(attachment.written(self.opening.app.prefix()));
        self.tell(&ToldFrame { action, channel: written, error: Some(error), ..ToldFrame::default() }, step);
    }

    pub(super) fn detach(&mut self, written: &str, step: &mut Step) {
        let channel = qualified(written).and_then(|(_, name)| self.opening.app.channel(name));
        match channel {
            Ok(channel) if self.channels.get(&channel).is_some() => {
                step.command(Command::Unsubscribe { ticket: DETACH, channel });
            }
            _ => {
                self.tell(&ToldFrame { action: action::DETACHED, channel: Some(written), ..ToldFrame::default() }, step)
            }
        }
    }

    pub(super) fn detached(&mut self, ticket: u64, channel: &Channel, step: &mut Step) {
        if ticket == DROP {
            return;
        }
        let Some(attachment) = self.channels.remove(channel) else { return };
        let written = Some(attachment.written(self.opening.app.prefix()));
        if ticket == DETACH {
            return self.tell(&ToldFrame { action: action::DETACHED, channel: written, ..ToldFrame::default() }, step);
        }
        // The app has put it out: DETACHED would have it come in again at once.
        let error = AblyError::new(40160, 401, "The app has taken this client out of the channel");
        self.tell(
            &ToldFrame { action: action::ERROR, channel: written, error: Some(&error), ..ToldFrame::default() },
            step,
        );
    }

    /// Messages were lost on the way: the client learns that it has not all.
    pub(super) fn lost(&mut self, channel: &Channel, upto: Position, step: &mut Step) {
        let Some(attachment) = self.channels.get(channel) else { return };
        let error = AblyError::new(80020, 503, "Continuity is lost: the client read too slowly");
        self.tell(
            &ToldFrame {
                action: action::ATTACHED,
                channel: Some(attachment.written(self.opening.app.prefix())),
                flags: Some(attachment.modes),
                channel_serial: Some(upto.to_string()),
                error: Some(&error),
                ..ToldFrame::default()
            },
            step,
        );
    }

    /// Its rights have changed: it leaves the channels that it may no longer be in, and has in the others what it asked
    /// for and may have now.
    pub(super) fn revisit(&mut self, step: &mut Step) {
        let app = Arc::clone(&self.opening.app);
        let may = Arc::clone(&self.opening.auth.capability);
        let format = self.manner.format;
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for attachment in self.channels.iter_mut() {
            let channel = &attachment.channel;
            let name = app.name(channel).unwrap_or(channel.as_str());
            match granted(attachment.wanted, name, &may) {
                Err(error) => gone.push((channel.clone(), error)),
                Ok(granted) => {
                    let modes = if attachment.is_mutable { granted } else { granted & !mode::ANNOTATION };
                    let may_count = may_count(modes, name, &may);
                    if modes != attachment.modes {
                        let hears = Attachment::hears(modes);
                        if hears != Attachment::hears(attachment.modes) {
                            let written = attachment.written(app.prefix());
                            attachment.set_encoding(heard_as(&app, format, written, hears));
                        }
                        attachment.modes = modes;
                        attachment.asked = Asked::Continuity;
                        attachment.is_attaching = true;
                        changed.push(attachment.channel.clone());
                    }
                    if !may_count {
                        attachment.stop_watch();
                    }
                }
            }
        }
        for (channel, error) in gone {
            self.not_attached(&channel, &error, step);
        }
        for channel in changed {
            if let Some(attachment) = self.channels.get(&channel) {
                step.command(self.wish(attachment, Since::Now));
            }
        }
    }

    /// How many are there: told where it wants to know, and does not know it yet.
    pub(super) fn occupied(&mut self, channel: &Channel, counted: Occupancy, now: Moment, step: &mut Step) {
        let Some(attachment) = self.channels.get_mut(channel) else { return };
        let Some(watch) = attachment.watch() else { return };
        let metrics = watch.wish.metrics(counted);
        if watch.told.as_ref() == Some(&metrics) {
            return;
        }
        let message = occupancy::message(&metrics, now.unix_ms);
        watch.told = Some(metrics);
        let told = ToldFrame {
            action: action::MESSAGE,
            channel: Some(attachment.written(self.opening.app.prefix())),
            messages: Some(vec![message]),
            ..ToldFrame::default()
        };
        step.send(self.manner.format.frame(&told));
    }

    pub(super) fn sync_again(&mut self, written: &str, step: &mut Step) {
        let channel = qualified(written).and_then(|(_, name)| self.opening.app.channel(name));
        let Ok(channel) = channel else { return };
        let hears = |attachment: &Attachment| attachment.modes & mode::PRESENCE_SUBSCRIBE != 0;
        if self.channels.get(&channel).is_some_and(hears) {
            step.command(Command::Members { ticket: SYNC, channel });
        }
    }

    /// All who are there, in pages.
    pub(super) fn sync(&mut self, channel: &Channel, members: &[Arc<Member>], step: &mut Step) {
        let Some(attachment) = self.channels.get(channel) else { return };
        let format = self.manner.format;
        self.next_ticket += 1;
        let sequence = self.next_ticket;
        let pages = members.len().div_ceil(SYNC_PAGE).max(1);
        for page in 0..pages {
            let begin = page * SYNC_PAGE;
            let part = &members[begin..members.len().min(begin + SYNC_PAGE)];
            let cursor = if page + 1 < pages { (page + 1).to_string() } else { String::new() };
            let told = ToldFrame {
                action: action::SYNC,
                channel: Some(attachment.written(self.opening.app.prefix())),
                channel_serial: Some(format!("{sequence}:{cursor}")),
                presence: Some(part.iter().map(|member| AblyPresence::present(member, format)).collect()),
                ..ToldFrame::default()
            };
            self.tell(&told, step);
        }
    }
}

/// How a channel is heard that the client calls `written`; `None`: as by most.
fn heard_as(app: &AblyApp, format: Format, written: &str, hears: Hears) -> Option<Encoding> {
    if written.starts_with('[') {
        let (prefix, written) = (app.prefix().into(), Some(written.into()));
        return Some(Encoding::new(AblyEncoder { format, prefix, written, hears }));
    }
    hears.annotations.then(|| app.encodings().of(format, hears).clone())
}
