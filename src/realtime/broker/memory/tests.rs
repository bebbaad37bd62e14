//! What a log keeps, and what it gives back.

use super::*;
use crate::realtime::vocabulary::{
    Amendment, Annotation, Change, Channel, ConnectionId, Encode, Method, Origin, Payload, Refusal,
};

const MINUTE: Duration = Duration::from_secs(60);
const KEEP: Keeps = Keeps { policy: Keep { messages: 3, age: MINUTE }, wish: None };

fn message(position: Position, unix_ms: u64, origin: Option<Origin>, text: &str) -> Message {
    Message::new(Channel::new("c").unwrap(), position, unix_ms, origin, Draft::new(Payload::Text(text.into())))
}

fn say(log: &mut Log, text: &str, room: usize, now: Instant) -> Position {
    let message = |position| message(position, 0, None, text);
    log.append(message, KEEP, room, None, now).position
}

fn filled(messages: u64, now: Instant) -> Log {
    let mut log = Log::new(Epoch(1));
    for number in 1..=messages {
        assert_eq!(say(&mut log, "x", usize::MAX, now).offset, number);
    }
    log
}

#[test]
fn what_was_missed_is_had_whole_or_not_at_all() {
    let now = Instant::now();
    let log = filled(5, now);
    let after = |epoch, offset| log.replay(Since::After(Position { epoch: Epoch(epoch), offset }), now);
    assert_eq!(after(1, 5), Replay::From { next: 6, missed: 0 });
    assert_eq!(after(1, 3), Replay::From { next: 4, missed: 2 });
    assert_eq!(after(1, 2), Replay::From { next: 3, missed: 3 });
    assert_eq!(after(1, 1), Replay::Gone, "2 is no longer kept");
    assert_eq!(after(1, 6), Replay::Gone, "6 was never said");
    assert_eq!(after(1, u64::MAX), Replay::Gone);
    assert_eq!(after(2, 5), Replay::Gone, "another epoch");
    assert_eq!(log.replay(Since::Start, now), Replay::From { next: 3, missed: 3 });
    assert_eq!(log.replay(Since::Last(1), now), Replay::From { next: 5, missed: 1 });
    assert_eq!(log.replay(Since::Last(9), now), Replay::From { next: 3, missed: 3 });
    assert_eq!(log.messages(4).map(|message| message.position.offset).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn messages_age() {
    let now = Instant::now();
    let mut log = filled(2, now);
    say(&mut log, "y", usize::MAX, now + MINUTE / 2);
    log.trim(KEEP, now + MINUTE);
    assert_eq!(log.replay(Since::Start, now), Replay::From { next: 3, missed: 1 });
    log.trim(KEEP, now + 2 * MINUTE);
    assert!(log.is_empty());
    assert_eq!((log.bytes(), log.top().offset), (0, 3));
}

#[test]
fn the_room_is_never_exceeded_and_holes_are_never_replayed_over() {
    let now = Instant::now();
    let mut log = filled(2, now);
    let room = log.bytes();
    say(&mut log, "x", room, now);
    assert_eq!((log.bytes(), log.oldest()), (room, 2));
    say(&mut log, &"x".repeat(10_000), room, now);
    assert_eq!((log.bytes(), log.oldest()), (0, 5), "too large to keep: nothing before it can be replayed");
    say(&mut log, "x", room, now);
    assert_eq!(log.oldest(), 5);
}

#[test]
fn an_owner_keeps_no_more_than_it_may_in_all_logs() {
    let now = Instant::now();
    let (mut one, mut two) = (Log::new(Epoch(1)), Log::new(Epoch(2)));
    let held = Arc::new(AtomicUsize::new(0));
    let own = |log: &mut Log, most| {
        let message = |position| message(position, 0, None, "x");
        log.append(message, KEEP, usize::MAX, Some(Owner { held: Arc::clone(&held), most }), now);
        held.load(Ordering::Relaxed)
    };
    let each = own(&mut one, usize::MAX);
    assert_eq!(own(&mut one, 2 * each), 2 * each);
    assert_eq!(own(&mut two, 2 * each), 2 * each, "not kept here, as the other log has it all");
    assert_eq!((one.bytes(), two.bytes()), (2 * each, 0));
    assert_eq!(own(&mut one, 2 * each), 2 * each, "its own oldest gives way");
    say(&mut two, "of another", usize::MAX, now);
    assert!(!two.is_empty());
    one.trim(KEEP, now + MINUTE);
    assert_eq!(own(&mut two, 2 * each), each, "what is forgotten is given back");
}

#[test]
fn what_either_wants_is_kept() {
    let now = Instant::now();
    let wish = Some(Keep { messages: usize::MAX, age: 2 * MINUTE });
    let mut log = Log::new(Epoch(1));
    let mut say = |keeps, at| {
        let message = |position| message(position, 0, None, "x");
        log.append(message, keeps, usize::MAX, None, at);
        log.oldest()
    };
    let both = Keeps { wish, ..KEEP };
    assert_eq!((0..10).map(|_| say(both, now)).last(), Some(1), "more than the policy has");
    assert_eq!(say(both, now + 2 * MINUTE), 11, "neither covers them");
    let policy = Keep { messages: 2, age: 9 * MINUTE };
    let both = Keeps { policy, wish };
    let later = [3, 4, 4, 4].map(|minutes| say(both, now + minutes * MINUTE));
    assert_eq!(later, [11, 12, 12, 12], "the policy keeps the latest for longer, the wish all of its time");
    assert_eq!(say(policy.into(), now + 4 * MINUTE), 15);
}

#[test]
fn the_past_is_read_from_either_end() {
    let now = Instant::now();
    let mut log = Log::new(Epoch(1));
    let keeps = Keeps::from(Keep { messages: 9, age: MINUTE });
    for unix_ms in 1..=6 {
        let message = |position| message(position, unix_ms, None, "x");
        log.append(message, keeps, usize::MAX, None, now);
    }
    let at = |offset| Some(Position { epoch: Epoch(1), offset });
    let read = |span: Span, most| {
        let (messages, more) = log.read(&span, most);
        (messages.iter().map(|message| message.position.offset).collect::<Vec<_>>(), more)
    };
    assert_eq!(read(Span::default(), 9), (vec![1, 2, 3, 4, 5, 6], false));
    assert_eq!(read(Span { backwards: true, ..Span::default() }, 2), (vec![6, 5], true));
    assert_eq!(read(Span { after: at(2), before: at(5), ..Span::default() }, 2), (vec![3, 4], false));
    assert_eq!(read(Span { from_ms: 2, to_ms: 3, backwards: true, ..Span::default() }, 1), (vec![3], true));
    assert_eq!(read(Span { after: at(7), before: at(2), ..Span::default() }, 9), (vec![], false));
    let other = Position { epoch: Epoch(2), offset: 1 };
    assert_eq!(read(Span { after: Some(other), ..Span::default() }, 9), (vec![], false));
    assert_eq!(log.get(at(6).unwrap()).map(|message| message.position.offset), Some(6));
    assert!(log.get(at(7).unwrap()).is_none() && log.get(other).is_none());
}

/// A log in which everything is kept, and what is done to it.
struct Edited {
    log: Log,
    keeps: Keeps,
    room: usize,
}

impl Edited {
    fn new(messages: usize) -> Edited {
        let keeps = Keeps { policy: Keep { messages, age: MINUTE }, wish: None };
        Edited { log: Log::new(Epoch(1)), keeps, room: usize::MAX }
    }

    fn say(&mut self, user: &str, text: &str) -> u64 {
        let origin = Some(Origin { connection: ConnectionId(1), user: Some(user.into()) });
        let message = |position| message(position, 1, origin, text);
        self.log.append(message, self.keeps, self.room, None, Instant::now()).position.offset
    }

    fn amend(
        &mut self,
        offset: u64,
        change: Change,
        text: &str,
        only_of: Option<&str>,
    ) -> Result<Arc<Message>, Refusal> {
        let target = Position { epoch: Epoch(1), offset };
        let keeps_data = text.is_empty();
        let amending = Amending {
            amendment: Amendment { target, change, only_of: only_of.map(Into::into), keeps_data },
            draft: Draft::new(Payload::Text(text.into())),
            origin: Some(Origin { connection: ConnectionId(2), user: Some("bob".into()) }),
            unix_ms: 2,
            most: 20,
            tells_whole: text == "whole",
        };
        self.log.amend(amending, self.keeps, self.room, None, Instant::now())
    }

    /// As `offset text`, with what has become of it.
    fn read(&self) -> Vec<String> {
        self.log.read(&Span::default(), 99).0.iter().map(|message| shown(message)).collect()
    }

    /// What somebody hears who comes back after `offset`.
    fn replay(&mut self, offset: u64) -> Vec<String> {
        let encoding = Encoding::new(Words);
        (offset + 1..=self.log.top)
            .filter_map(|offset| match self.log.form(offset, &encoding) {
                Some((message, Encoded::PerClient)) => Some(shown(&message)),
                _ => None,
            })
            .collect()
    }
}

struct Words;

impl Encode for Words {
    fn encode(&self, _: &Event) -> Encoded {
        Encoded::PerClient
    }
}

fn shown(message: &Message) -> String {
    let Payload::Text(text) = &message.draft.data else { return String::new() };
    let change = message.amended.as_ref().map(|amended| {
        format!(" {} of {} by {}", amended.change.label(), amended.target.offset, amended.version.offset)
    });
    let summary = message.summary.as_ref().map(|summary| format!(" {}", summary.totals()));
    format!("{} {text}{}{}", message.position.offset, change.unwrap_or_default(), summary.unwrap_or_default())
}

fn annotation(removes: bool) -> Change {
    Change::Annotate(Annotation { kind: "like".into(), method: Method::Flag, count: 1, removes })
}

#[test]
fn a_message_is_shown_as_it_is_by_now_in_its_first_place() {
    let mut edited = Edited::new(9);
    assert_eq!((edited.say("ann", "a"), edited.say("ann", "b")), (1, 2));
    assert_eq!(shown(&edited.amend(1, Change::Update, "A", None).unwrap()), "3 A update of 1 by 3");
    assert_eq!(shown(&edited.amend(2, Change::Append, "c", None).unwrap()), "4 c append of 2 by 4", "live, the rest");
    assert_eq!(edited.read(), ["1 A update of 1 by 3", "2 bc update of 2 by 4"]);
    edited.amend(3, Change::Delete, "", None).unwrap();
    assert_eq!(edited.read(), ["1 A delete of 1 by 5", "2 bc update of 2 by 4"], "by its change, and with its content");
    edited.say("ann", "d");
    assert_eq!(edited.log.top, 6, "each change has a place of its own");
    let versions = |edited: &Edited, offset| {
        let position = Position { epoch: Epoch(1), offset };
        edited.log.versions(position).iter().map(|message| shown(message)).collect::<Vec<_>>()
    };
    assert_eq!(versions(&edited, 1), ["1 a", "3 A update of 1 by 3", "5 A delete of 1 by 5"]);
    assert_eq!(versions(&edited, 4), ["2 b", "4 bc update of 2 by 4"]);
    assert!(versions(&edited, 9).is_empty());
}

#[test]
fn who_comes_back_is_told_what_things_are_by_now() {
    let mut edited = Edited::new(9);
    edited.say("ann", "secret");
    edited.say("ann", "b");
    edited.amend(1, Change::Update, "x", None).unwrap();
    edited.amend(1, Change::Delete, "-", None).unwrap();
    edited.amend(2, Change::Append, "c", None).unwrap();
    edited.amend(2, Change::Append, "d", None).unwrap();
    let all = ["1 - delete of 1 by 4", "2 bcd update of 2 by 6", "4 - delete of 1 by 4", "6 bcd update of 2 by 6"];
    assert_eq!(edited.replay(0), all, "nothing of what was deleted");
    assert_eq!(edited.replay(2), all[2..], "and of each the last change, whole");
    let events = |next| edited.log.events(next).map(|message| shown(&message)).collect::<Vec<_>>();
    assert_eq!(events(3), all[2..]);
    assert_eq!(events(2), ["2 bcd update of 2 by 6", "4 - delete of 1 by 4"]);
}

#[test]
fn who_may_lack_the_rest_is_told_all_of_it() {
    let mut edited = Edited::new(9);
    edited.say("ann", "a ");
    assert_eq!(shown(&edited.amend(1, Change::Append, "whole", None).unwrap()), "2 a whole update of 1 by 2");
    assert_eq!(edited.read(), ["1 a whole update of 1 by 2"]);
}

#[test]
fn annotations_are_counted_where_they_are_made() {
    let mut edited = Edited::new(9);
    edited.say("ann", "a");
    assert_eq!(shown(&edited.amend(1, annotation(false), "", None).unwrap()), "2  annotate of 1 by 2 {\"like\":1}");
    assert_eq!(edited.read(), ["1 a {\"like\":1}"]);
    edited.amend(1, Change::Update, "b", None).unwrap();
    edited.amend(1, annotation(true), "", None).unwrap();
    assert_eq!(edited.read(), ["1 b update of 1 by 3 {}"]);
    assert_eq!(edited.replay(1), ["2  annotate of 1 by 2", "3 b update of 1 by 3 {}", "4  annotate of 1 by 4 {}"]);
    let position = Position { epoch: Epoch(1), offset: 1 };
    assert_eq!(edited.log.annotations(position).len(), 2);
    edited.amend(1, annotation(false), "", None).unwrap();
    assert_eq!(edited.log.bytes(), edited.log.kept.iter().map(held).sum::<usize>());
}

/// What a message holds in its log.
fn held(kept: &StoredMessage) -> usize {
    kept.size + kept.revision.as_ref().map_or(0, |revision| revision.size())
}

#[test]
fn what_cannot_be_changed_says_why_and_changes_nothing() {
    let mut edited = Edited::new(9);
    edited.say("ann", "a");
    let refused = |edited: &mut Edited, offset, text: &str, only_of| {
        edited.amend(offset, Change::Append, text, only_of).unwrap_err()
    };
    assert_eq!(refused(&mut edited, 7, "b", None), Refusal::Forgotten);
    assert_eq!(refused(&mut edited, 1, "b", Some("bob")), Refusal::Forbidden);
    assert_eq!(refused(&mut edited, 1, &"b".repeat(20), None), Refusal::TooBig { most: 20 });
    let bare = Change::Annotate(Annotation { kind: "like".into(), method: Method::Distinct, count: 1, removes: false });
    assert!(matches!(edited.amend(1, bare, "", None), Err(Refusal::Malformed(_))));
    assert_eq!((edited.read(), edited.log.top), (vec!["1 a".to_owned()], 1));
    assert!(edited.amend(1, Change::Append, "b", Some("ann")).is_ok(), "its own");
}

#[test]
fn changes_push_no_message_out_and_go_with_what_they_change() {
    let mut edited = Edited::new(2);
    edited.say("ann", "a");
    edited.say("ann", "b");
    for _ in 0..5 {
        edited.amend(1, Change::Append, "-", None).unwrap();
    }
    assert_eq!(edited.read(), ["1 a----- update of 1 by 7", "2 b"]);
    assert_eq!(edited.log.replay(Since::Last(1), Instant::now()), Replay::From { next: 2, missed: 6 });
    edited.say("ann", "c");
    assert_eq!(edited.read(), ["2 b", "8 c"]);
    assert_eq!(
        edited.replay(2),
        ["3 -", "4 -", "5 -", "6 -", "7 -", "8 c"].map(|text| {
            let (offset, _) = text.split_once(' ').unwrap();
            if text.ends_with('-') { format!("{text} append of 1 by {offset}") } else { text.to_owned() }
        })
    );
    edited.log.trim(edited.keeps, Instant::now() + MINUTE);
    assert_eq!((edited.log.bytes(), edited.log.amendments), (0, 0));
    let mut edited = Edited::new(9);
    edited.say("ann", "a");
    edited.room = edited.log.bytes() * 3;
    for _ in 0..9 {
        let _ = edited.amend(1, Change::Update, "b", None);
        assert!(edited.log.bytes() <= edited.room);
    }
}

#[test]
fn a_position_of_an_earlier_epoch_is_good_up_to_its_end() {
    let now = Instant::now();
    let mut log = filled(3, now);
    log.go_on_as(Epoch(2), &[Position { epoch: Epoch(1), offset: 3 }]);
    assert_eq!(say(&mut log, "x", usize::MAX, now), Position { epoch: Epoch(2), offset: 4 });
    let after = |log: &Log, epoch, offset| log.replay(Since::After(Position { epoch: Epoch(epoch), offset }), now);
    assert_eq!(after(&log, 1, 2), Replay::From { next: 3, missed: 2 });
    assert_eq!(after(&log, 1, 3), Replay::From { next: 4, missed: 1 });
    assert_eq!(after(&log, 1, 4), Replay::Gone, "the first epoch's 4 was lost");
    assert_eq!(after(&log, 2, 4), Replay::From { next: 5, missed: 0 });
    log.restart(Position { epoch: Epoch(3), offset: 4 });
    assert_eq!(after(&log, 1, 3), Replay::Gone);
}
