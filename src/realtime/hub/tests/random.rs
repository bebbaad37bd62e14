//! Promises of several doors, held against faults in every order: each seed is a story of its own, on a virtual clock.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::shared::Doors;
use super::*;
use crate::realtime::broker::BrokerListener;
use crate::realtime::vocabulary::Member;

/// Stories, unless `DOORWAY_SEEDS` says how many, and what happens in each.
const SEEDS: u64 = 60;
const STEPS: usize = 80;

const DOORS: usize = 3;
const ROOM: &str = "kept";

/// Messages as `epoch-offset:text`, presence as [`Lines`] has it.
struct Places;

impl Encode for Places {
    fn encode(&self, event: &Event) -> Encoded {
        match event {
            Event::Message(message) => match &message.draft.data {
                Payload::Text(text) => {
                    Encoded::Shared(EncodedFrames::new(Frame::text(format!("{}:{text}", message.position))))
                }
                _ => Encoded::Skip,
            },
            event => Lines.encode(event),
        }
    }
}

/// One that reads all along, though it may change doors; and what it was told.
struct Listener {
    door: usize,
    reader: Reader,
    /// Where it is.
    at: Option<Position>,
    /// The messages, each with its place.
    heard: Vec<(u64, String)>,
    /// Who is there, by the notices.
    here: BTreeSet<String>,
}

/// What became of a message: `None` while nobody knows.
type Fate = Arc<Mutex<BTreeMap<String, Option<u64>>>>;

struct Story {
    seed: u64,
    rng: Rng,
    doors: Doors,
    listeners: Vec<Listener>,
    /// Who stands behind which member, where.
    members: Vec<(String, usize, Reader)>,
    said: Fate,
    log: Vec<String>,
}

impl Listener {
    /// Comes to a door, and goes on from where it was.
    async fn come(doors: &Doors, door: usize, at: Option<Position>) -> Result<Option<Listener>, String> {
        let world = &doors.worlds[door];
        let room = name(ROOM);
        if world.hub.mirror(&room, Holder::Trusted).await.is_err() {
            return Ok(None);
        }
        if world.hub.catch_up(&room, at).await.is_err() {
            return Ok(None);
        }
        let mut reader = world.reader();
        let wish = at.map_or_else(|| to(ROOM), |at| since(ROOM, Since::After(at)));
        let subscribed = reader.subscribe(world, &wish).expect("nobody is refused");
        if at.is_some() && !matches!(subscribed.recovery, Recovery::Complete(_)) {
            return Err(format!("door {door}: {at:?} is kept, and cannot be had: {subscribed:?}"));
        }
        let here = subscribed.members.iter().map(|member| member.key.to_string()).collect();
        Ok(Some(Listener { door, reader, at: at.or(Some(subscribed.top)), heard: Vec::new(), here }))
    }

    fn read(&mut self, doors: &Doors) -> Result<(), String> {
        let world = &doors.worlds[self.door];
        for told in self.reader.read(world) {
            if let Some(key) = told.strip_prefix('+') {
                if !self.here.insert(key.to_owned()) {
                    return Err(format!("door {}: {key} came twice", self.door));
                }
            } else if let Some(key) = told.strip_prefix('-') {
                if !self.here.remove(key) {
                    return Err(format!("door {}: {key} left without having been there", self.door));
                }
            } else if let Some((Ok(at), text)) = told.split_once(':').map(|(at, text)| (at.parse::<Position>(), text)) {
                let before = self.at.map_or(0, |at| at.offset);
                if at.offset != before + 1 {
                    return Err(format!("door {}: {at} behind {before}", self.door));
                }
                self.at = Some(at);
                self.heard.push((at.offset, text.to_owned()));
            } else {
                return Err(format!("door {}: told {told}", self.door));
            }
        }
        Ok(())
    }
}

impl Story {
    async fn begin(seed: u64) -> Story {
        fastrand::seed(seed);
        let mut doors = Doors::new(DOORS, |_| {});
        doors.worlds.iter_mut().for_each(|world| world.lines = Encoding::new(Places));
        let mut listeners = Vec::new();
        for door in 0..DOORS {
            listeners.extend(Listener::come(&doors, door, None).await.expect("nothing is asked for"));
        }
        doors.model.slow_down();
        let (members, said, log) = (Vec::new(), Fate::default(), Vec::new());
        Story { seed, rng: Rng::with_seed(seed), doors, listeners, members, said, log }
    }

    fn door(&mut self) -> usize {
        self.rng.usize(0..DOORS)
    }

    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    /// Somebody says something, and does not wait for it.
    fn say(&mut self) {
        let (door, text) = (self.door(), self.said.lock().len().to_string());
        self.note(format!("{text} is said at {door}"));
        let (hub, said) = (Arc::clone(&self.doors.worlds[door].hub), Arc::clone(&self.said));
        said.lock().insert(text.clone(), None);
        tokio::spawn(async move {
            if let Ok(Some(position)) = hub.publish_shared(publish(ROOM, &text), Moment::now()).await {
                said.lock().insert(text, Some(position.offset));
            }
        });
    }

    /// Somebody enters the presence.
    async fn enter(&mut self) {
        let (door, key) = (self.door(), format!("m{}", self.rng.u8(0..4)));
        let world = &self.doors.worlds[door];
        if world.hub.mirror(&name(ROOM), Holder::Trusted).await.is_err() {
            return;
        }
        let mut reader = world.reader();
        reader.subscribe(world, &Subscribe::to(name(ROOM))).expect("nobody is refused");
        reader.client().enter(&name(ROOM), Member::new(&*key), Authority::App, Moment::now()).expect("not full");
        self.note(format!("{key} enters at {door}"));
        self.members.push((key, door, reader));
    }

    /// One of those who have entered goes.
    fn leave(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let (key, door, mut reader) = self.members.swap_remove(self.rng.usize(0..self.members.len()));
        reader.part(&self.doors.worlds[door]);
        self.note(format!("{key} leaves {door}"));
    }

    /// A listener goes, and comes back to another door when it can.
    async fn change_doors(&mut self) -> Result<(), String> {
        let (place, door) = (self.rng.usize(0..self.listeners.len()), self.door());
        self.listeners[place].read(&self.doors)?;
        let at = self.listeners[place].at;
        let Some(mut back) = Listener::come(&self.doors, door, at).await? else { return Ok(()) };
        self.note(format!("listener {place} comes to {door} at {at:?}"));
        let before = &mut self.listeners[place];
        before.reader.part(&self.doors.worlds[before.door]);
        back.heard = std::mem::take(&mut before.heard);
        *before = back;
        Ok(())
    }

    async fn step(&mut self) -> Result<(), String> {
        let door = self.door();
        let number = door as u64;
        match self.rng.u8(0..24) {
            0..8 => self.say(),
            8..11 => self.enter().await,
            11..14 => self.leave(),
            14 | 15 => self.change_doors().await?,
            16 => {
                self.note("the broker is away, or back".into());
                let is_away = self.rng.bool();
                self.doors.model.set_away(is_away);
            }
            17 | 18 => {
                let is_deaf = self.rng.bool();
                self.note(format!("{door} is deaf: {is_deaf}"));
                self.doors.model.set_deaf(number, is_deaf);
            }
            19 => {
                let is_flaky = self.rng.bool();
                self.note(format!("flaky: {is_flaky}"));
                self.doors.model.set_flaky(is_flaky);
            }
            20 => {
                self.note("another process goes on where it was".into());
                self.doors.model.lose(0);
            }
            21 => {
                self.note(format!("{door} is expelled"));
                self.doors.model.expel(number);
                self.pass(Duration::from_millis(500)).await;
                self.doors.worlds[door].hub.on_expelled();
            }
            _ => {
                let time = self.rng.u64(1..20);
                self.pass(Duration::from_secs(time)).await;
            }
        }
        let time = self.rng.u64(0..120);
        self.pass(Duration::from_millis(time)).await;
        for listener in &mut self.listeners {
            listener.read(&self.doors)?;
        }
        Ok(())
    }

    /// Time passes on all doors.
    async fn pass(&mut self, mut time: Duration) {
        while !time.is_zero() {
            let some = time.min(Duration::from_secs(1));
            sleep(some).await;
            time -= some;
            for world in &mut self.doors.worlds {
                world.now = Moment::now();
                world.pass(Duration::ZERO);
            }
        }
    }

    /// All is well again, and time passes: what was promised is so.
    async fn end(&mut self) -> Result<(), String> {
        self.doors.model.set_away(false);
        self.doors.model.set_flaky(false);
        (0..DOORS as u64).for_each(|number| self.doors.model.set_deaf(number, false));
        for _ in 0..3 {
            self.pass(Duration::from_secs(30)).await;
            for listener in &mut self.listeners {
                listener.read(&self.doors)?;
            }
        }
        let there: BTreeSet<String> = self.members.iter().map(|(key, ..)| key.clone()).collect();
        let said = self.said.lock().clone();
        for listener in &self.listeners {
            let door = listener.door;
            let mut unheard = said.iter().filter_map(|(text, offset)| Some((offset.as_ref().copied()?, text.clone())));
            if let Some(missing) = unheard.find(|message| !listener.heard.contains(message)) {
                let is_mirrored = self.doors.worlds[door].hub.is_mirrored(&name(ROOM));
                let heard = self.doors.model.heard(door as u64);
                let state = format!("mirrored: {is_mirrored}, channels heard: {heard}");
                return Err(format!("door {door}: {missing:?} was accepted; {state}; heard were {:?}", listener.heard));
            }
            let texts: BTreeSet<&String> = listener.heard.iter().map(|(_, text)| text).collect();
            if texts.len() != listener.heard.len() {
                return Err(format!("door {door}: something was heard twice: {:?}", listener.heard));
            }
            if listener.here != there {
                return Err(format!("door {door}: {:?} by the notices, {there:?} in truth", listener.here));
            }
        }
        let connections = self.members.len() + self.listeners.len();
        for (door, world) in self.doors.worlds.iter().enumerate() {
            let hub = &world.hub;
            if hub.mirror(&name(ROOM), Holder::Trusted).await.is_err() {
                return Err(format!("door {door} cannot have the channel"));
            }
            let members: BTreeSet<_> = hub.members(&name(ROOM)).iter().map(|member| member.key.to_string()).collect();
            let counted = hub.subscribers(&name(ROOM));
            if members != there || counted != connections {
                let roster = self.doors.model.roster(&name(ROOM));
                return Err(format!(
                    "door {door}: {members:?}, {there:?} in truth; {counted} of {connections}: {roster:?}"
                ));
            }
        }
        Ok(())
    }
}

async fn tell(seed: u64) -> Result<(), String> {
    let mut story = Story::begin(seed).await;
    let mut told = Ok(());
    for _ in 0..STEPS {
        told = story.step().await;
        if told.is_err() {
            break;
        }
    }
    if told.is_ok() {
        told = story.end().await;
    }
    told.map_err(|error| format!("seed {}: {error}\n{}", story.seed, story.log.join("\n")))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_doubled_or_left_behind() {
    let seeds = std::env::var("DOORWAY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        if let Err(error) = tell(seed).await {
            panic!("{error}");
        }
    }
}
