//! The part of `[realtime]` that is the hub's.

use std::time::Duration;

use super::document_limits::DocumentLimits;
use super::outbox::OutboxLimits;
use super::parts::Part;
use super::policy::{Demand, Policy, Rule, is_unnamed, open, policy};
use crate::realtime::vocabulary::Channel;
use crate::settings::{Section, Size};

/// The keys of `[realtime]` that bound the hub, and the policies of `[[realtime.channel]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[[realtime.channel]]`, in the order of the file: the first that fits a name is its policy. Default none.
    pub channels: Vec<Rule>,
    /// The demands of protocols in use on their channels, filled in from their sections. Default none.
    pub demands: Vec<Demand>,
    /// Apps that share the hub, none of which opens more channels than it leaves free. Default none: all are one.
    pub parts: Vec<Part>,
    /// A channel that no section names is the app's: where the app is asked anything, or a token is required, which the
    /// whole file says. Default false.
    pub is_apps: bool,
    pub outbox: OutboxLimits,
    /// What bounds the documents of channels.
    pub documents: DocumentLimits,
    /// Channels at a time, at most; one client address opens no more of them than it leaves free. Default
    /// 100,000.
    pub max_channels: usize,
    /// Channels that one connection may be in, at most. Default 1,000.
    pub max_subscriptions: usize,
    /// Memory for the history of all channels. Default 256 MiB.
    pub max_history: Size,
    /// Questions that may be open at a time, each to any number of clients. Default 1,000.
    pub max_questions: usize,
    /// Memory for the answers to all of them. Default 16 MiB.
    pub max_answers: Size,
    /// The time for which an empty channel is remembered, so that positions in it stay good; less where its place is needed.
    /// Default 1 minute.
    pub forget_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            channels: Vec::new(),
            demands: Vec::new(),
            parts: Vec::new(),
            is_apps: false,
            outbox: OutboxLimits::default(),
            documents: DocumentLimits::default(),
            max_channels: 100_000,
            max_subscriptions: 1_000,
            max_history: Size::mib(256),
            max_questions: 1_000,
            max_answers: Size::mib(16),
            forget_after: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// Which channels are open to anyone, a line each.
    pub fn open(&self) -> Vec<String> {
        open(&self.channels, self.is_apps)
    }

    /// The policy of `channel`.
    pub fn policy(&self, channel: &Channel) -> Policy {
        policy(&self.channels, &self.demands, self.is_apps, channel)
    }

    /// True if `channel` is the app's because no section names it: its word on this very channel is needed.
    pub fn is_left_to_app(&self, channel: &Channel) -> bool {
        self.is_apps && is_unnamed(&self.channels, channel)
    }

    /// Reads `[realtime]`, and of it the section `documents`.
    pub fn read(section: &Section, documents: &Section) -> Config {
        let default = Config::default();
        Config {
            channels: section.sections("channel").iter().map(Rule::read).collect(),
            demands: Vec::new(),
            parts: Vec::new(),
            is_apps: default.is_apps,
            outbox: OutboxLimits::read(&section.section("outbox")),
            documents: DocumentLimits::read(documents),
            max_channels: section.value("max_channels", default.max_channels),
            max_subscriptions: section.value("max_subscriptions", default.max_subscriptions),
            max_history: section.value("max_history", default.max_history),
            max_questions: section.value("max_questions", default.max_questions),
            max_answers: section.value("max_answers", default.max_answers),
            forget_after: section.value("forget_after", default.forget_after),
        }
    }
}
