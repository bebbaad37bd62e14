//! Any run of subscribing, publishing, reading, losing and coming back, against the simplest model of a channel: a list.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;

use super::*;
use crate::realtime::hub::outbox::{OutboxLimits, Slow};

const CHANNELS: [&str; 3] = ["drops", "recovers", "closes"];
const CLIENTS: usize = 4;
const HISTORY: usize = 8;

#[derive(Debug, Clone)]
enum Act {
    Subscribe { client: usize, channel: usize, back: bool },
    Unsubscribe { client: usize, channel: usize },
    Publish { channel: usize, messages: usize },
    Read { client: usize },
    Leave { client: usize },
    Pass { seconds: u64 },
    Reload { history: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let client = || any::<Index>().prop_map(|index| index.index(CLIENTS));
    let channel = || any::<Index>().prop_map(|index| index.index(CHANNELS.len()));
    let act = prop_oneof![
        3 => (client(), channel(), any::<bool>()).prop_map(|(client, channel, back)| Act::Subscribe { client, channel, back }),
        1 => (client(), channel()).prop_map(|(client, channel)| Act::Unsubscribe { client, channel }),
        5 => (channel(), 1..12_usize).prop_map(|(channel, messages)| Act::Publish { channel, messages }),
        5 => client().prop_map(|client| Act::Read { client }),
        1 => client().prop_map(|client| Act::Leave { client }),
        1 => (0..90_u64).prop_map(|seconds| Act::Pass { seconds }),
        1 => (1..HISTORY + 4).prop_map(|history| Act::Reload { history }),
    ];
    proptest::collection::vec(act, 1..120)
}

fn config(history: usize) -> Config {
    let channel = |name: &str, slow, history| rule(name, |policy| (policy.slow, policy.history) = (slow, history));
    Config {
        channels: vec![
            channel("drops", Slow::DropOldest, 0),
            channel("recovers", Slow::DropOldest, history),
            channel("closes", Slow::Disconnect, history),
        ],
        outbox: OutboxLimits { messages: 4, bytes: Size(1000) },
        forget_after: Duration::from_secs(20),
        ..Config::default()
    }
}

/// What a client must hear of one channel.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// The last offset that it has heard, or was told is lost, or need not hear.
    at: u64,
    subscribed: bool,
}

struct Subject {
    reader: Reader,
    standings: [Standing; CHANNELS.len()],
    /// Where it was last in each channel, to come back to.
    positions: [Option<Position>; CHANNELS.len()],
    closed: bool,
}

/// The model: every message that was ever accepted, by its epoch and offset.
#[derive(Default)]
struct Model {
    said: HashMap<(usize, u64, u64), String>,
    top: HashMap<usize, Position>,
    count: u64,
}

impl Subject {
    fn new(world: &World) -> Subject {
        Subject { reader: world.reader(), standings: Default::default(), positions: [None; 3], closed: false }
    }

    /// Takes what it was told and checks each word of it.
    fn check(&mut self, model: &Model) {
        for line in std::mem::take(&mut self.reader.told) {
            if line == "closing slow" {
                self.closed = true;
                continue;
            }
            if let Some(lost) = line.strip_prefix("lost ") {
                let (name, range) = lost.split_once(' ').unwrap();
                let (after, upto) = range.split_once("..").unwrap();
                let channel = CHANNELS.iter().position(|known| *known == name).unwrap();
                let standing = &mut self.standings[channel];
                assert!(standing.subscribed && standing.at == after.parse::<u64>().unwrap(), "{line}: {standing:?}");
                standing.at = upto.parse().unwrap();
                assert!(standing.at <= model.top[&channel].offset);
                continue;
            }
            let (offset, text) = line.split_once(':').unwrap();
            let offset: u64 = offset.parse().unwrap();
            let channel = CHANNELS.iter().position(|name| text.starts_with(name)).unwrap();
            let standing = &mut self.standings[channel];
            assert!(standing.subscribed, "{line} to a client that is not subscribed");
            assert_eq!(offset, standing.at + 1, "a gap or a repetition unseen: {line}");
            let epoch = model.top[&channel].epoch;
            assert_eq!(model.said[&(channel, epoch.0, offset)], text);
            standing.at = offset;
            self.positions[channel] = Some(Position { epoch, offset });
        }
    }

    fn leave(&mut self, world: &World) {
        self.reader.part(world);
        self.reader = world.reader();
        self.standings = Default::default();
        self.closed = false;
    }
}

fn run(acts: Vec<Act>) {
    let mut world = World::new(|empty| *empty = config(HISTORY));
    let mut model = Model::default();
    let mut subjects: Vec<_> = (0..CLIENTS).map(|_| Subject::new(&world)).collect();
    for act in acts {
        match act {
            Act::Subscribe { client, channel, back } => {
                let subject = &mut subjects[client];
                let asks =
                    if back { subject.positions[channel].map_or(Since::Start, Since::After) } else { Since::Now };
                let subscribed = subject.reader.subscribe(&world, &since(CHANNELS[channel], asks)).unwrap();
                model.top.insert(channel, subscribed.top);
                let standing = &mut subject.standings[channel];
                if standing.subscribed {
                    assert_eq!(subscribed.recovery, Recovery::Live);
                    continue;
                }
                standing.subscribed = true;
                standing.at = subscribed.start().offset;
                if let (Since::After(position), Recovery::Complete(missed)) = (asks, subscribed.recovery) {
                    assert_eq!(position.epoch, subscribed.top.epoch);
                    assert_eq!(position.offset + missed, subscribed.top.offset, "not exactly what it missed");
                }
            }
            Act::Unsubscribe { client, channel } => {
                let subject = &mut subjects[client];
                let was = subject.reader.client().unsubscribe(&name(CHANNELS[channel]), world.now);
                assert_eq!(was, subject.standings[channel].subscribed);
                subject.standings[channel].subscribed = false;
            }
            Act::Publish { channel, messages } => {
                for _ in 0..messages {
                    model.count += 1;
                    let text = format!("{}-{}", CHANNELS[channel], model.count);
                    if let Some(position) = world.publish(CHANNELS[channel], &text).unwrap() {
                        model.said.insert((channel, position.epoch.0, position.offset), text);
                        model.top.insert(channel, position);
                    }
                }
            }
            Act::Read { client } => {
                subjects[client].reader.read_some(&world);
                subjects[client].check(&model);
            }
            Act::Leave { client } => subjects[client].leave(&world),
            Act::Pass { seconds } => world.pass(Duration::from_secs(seconds)),
            Act::Reload { history } => world.hub.reload(config(history), world.now.instant),
        }
    }
    for subject in &mut subjects {
        while subject.reader.read_some(&world) {}
        subject.check(&model);
        for (channel, standing) in subject.standings.iter().enumerate() {
            if standing.subscribed && !subject.closed {
                assert_eq!(standing.at, model.top[&channel].offset, "{} was not heard to its end", CHANNELS[channel]);
            }
        }
        subject.reader.part(&world);
    }
    // Nothing is left behind.
    world.pass(Duration::from_secs(400));
    world.pass(Duration::from_secs(400));
    assert_eq!(world.hub.channels(), []);
    assert_eq!(world.hub.history.load(std::sync::atomic::Ordering::Relaxed), 0);
    drop(subjects);
    assert_eq!(world.hub.connections(), []);
    assert!(!world.hub.is_crowded());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/regressions/hub_model.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_run_keeps_the_promises(acts in acts()) {
        run(acts);
    }
}
