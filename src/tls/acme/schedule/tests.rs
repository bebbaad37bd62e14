//! A year in a test, and each thing that people suffered from.

use super::*;

/// 1 January 2027, in seconds.
const NEW_YEAR: u64 = 1_798_761_600;
const CHANCES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 0.999];

fn held(id: &str, not_before: u64, days: u64) -> Held {
    Held { id: id.to_owned(), not_before, not_after: not_before + days * DAY }
}

/// An authority, a clock, and a door that does what the schedule says.
struct World {
    now: u64,
    state: State,
    held: Option<Held>,
    /// When certificates were issued, and for which one each was.
    issued: Vec<(u64, Option<String>)>,
    tries: Vec<u64>,
    questions: Vec<u64>,
    days: u64,
    chance: f64,
    /// The window of the certificate, if the authority has one for it.
    window: fn(&Held, u64) -> Option<(u64, u64)>,
    answer: fn(&World) -> Answer,
}

enum Answer {
    Issued,
    Refused(Option<u64>),
    AlreadyReplaced,
    /// The process ends in the midst of it, and is started again at once.
    Crash,
}

impl World {
    fn new(days: u64, chance: f64) -> World {
        World {
            now: NEW_YEAR,
            state: State::new(chance),
            held: None,
            issued: Vec::new(),
            tries: Vec::new(),
            questions: Vec::new(),
            days,
            chance,
            window: |_, _| None,
            answer: |_| Answer::Issued,
        }
    }

    /// As a restart does: what is not stored is forgotten.
    fn restart(&mut self) {
        self.state = serde_json::from_str(&serde_json::to_string(&self.state).unwrap()).unwrap();
    }

    fn step(&mut self) {
        match self.state.next(self.held.clone().as_ref(), self.now) {
            Step::Wait(wait) => self.now += wait.as_secs(),
            Step::Ask => {
                self.questions.push(self.now);
                let held = self.held.clone().unwrap();
                match (self.window)(&held, self.now) {
                    Some(window) => self.state.advised(&held, window, Some(6 * HOUR), self.now, self.chance),
                    None => self.state.unadvised(&held, self.now, self.chance),
                }
            }
            Step::Order { replaces } => {
                self.tries.push(self.now);
                self.state.begin(self.now, self.chance);
                self.restart();
                match (self.answer)(self) {
                    Answer::Issued => {
                        self.state.succeeded(self.now);
                        self.issued.push((self.now, replaces));
                        // Authorities date an hour back.
                        self.held = Some(held(&format!("id-{}", self.issued.len()), self.now - HOUR, self.days));
                    }
                    Answer::Refused(retry_after) => self.state.failed(self.now, retry_after, self.chance),
                    Answer::AlreadyReplaced => self.state.replaced(&replaces.unwrap()),
                    Answer::Crash => {}
                }
            }
        }
    }

    fn until(&mut self, end: u64) {
        let mut steps = 0;
        while self.now < end {
            self.step();
            steps += 1;
            assert!(steps < 200_000, "it spins at {}", self.now);
        }
    }
}

#[test]
fn a_year_without_advice_renews_at_two_thirds_of_each_life() {
    for (days, part) in [(90, 2.0 / 3.0), (45, 2.0 / 3.0), (6, 0.5)] {
        for chance in CHANCES {
            let mut world = World::new(days, chance);
            world.until(NEW_YEAR + 365 * DAY);
            assert_eq!(world.issued[0].0, NEW_YEAR, "the first one at once");
            for pair in world.issued.windows(2) {
                let lived = (pair[1].0 - pair[0].0) as f64 / (days * DAY) as f64;
                assert!((lived - part).abs() < part * 0.05 + 0.02, "{days} days, {chance}: {lived}");
            }
            let expected = 365.0 / (days as f64 * part);
            assert!(
                (world.issued.len() as f64 - expected).abs() < expected * 0.06 + 1.1,
                "{days}: {:?}",
                world.issued.len()
            );
            assert_eq!(world.issued[1].1.as_deref(), Some("id-1"), "it says which one it replaces");
        }
    }
}

#[test]
fn authority_is_asked_a_few_times_a_day_and_its_window_kept() {
    for chance in CHANCES {
        let mut world = World::new(90, chance);
        world.window = |held, _| Some((held.not_before + 30 * DAY, held.not_before + 32 * DAY));
        world.until(NEW_YEAR + 100 * DAY);
        for pair in world.issued.windows(2) {
            let lived = (pair[1].0 - pair[0].0 + HOUR) / DAY;
            assert!((30..=32).contains(&lived), "{lived}");
        }
        assert!((350..=460).contains(&world.questions.len()), "{}", world.questions.len());
        for pair in world.questions.windows(2) {
            assert!(
                pair[1] - pair[0] >= 5 * HOUR || world.issued.iter().any(|(at, _)| (pair[0]..=pair[1]).contains(at))
            );
        }
    }
}

#[test]
fn one_point_of_a_window_is_drawn_once_and_outlives_restarts() {
    let mut state = State::new(0.5);
    let first = held("a", NEW_YEAR, 90);
    let window = (NEW_YEAR + 10 * DAY, NEW_YEAR + 20 * DAY);
    state.advised(&first, window, None, NEW_YEAR, 0.3);
    let due = state.due(&first);
    assert_eq!(due, NEW_YEAR + 13 * DAY);
    state.advised(&first, window, None, NEW_YEAR + DAY, 0.9);
    let kept: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    assert_eq!((state.due(&first), kept.due(&first)), (due, due));
    state.advised(&first, (window.0, window.1 - DAY), None, NEW_YEAR + 2 * DAY, 0.0);
    assert_eq!(state.due(&first), window.0, "another window, another draw");
    state.advised(&first, (window.1, window.0), None, NEW_YEAR + 3 * DAY, 0.0);
    assert_eq!(state.due(&first), window.0, "what ends before it begins is no window");
}

#[test]
fn mass_revocation_overrules_our_own_date() {
    let mut world = World::new(90, 0.5);
    // From the tenth day on, all certificates that were there before are to go.
    world.window = |held, now| {
        let is_old = held.not_before < NEW_YEAR + 9 * DAY;
        match is_old && now >= NEW_YEAR + 10 * DAY {
            true => Some((NEW_YEAR + 9 * DAY, NEW_YEAR + 9 * DAY + HOUR)),
            false => Some((held.not_before + 60 * DAY, held.not_before + 61 * DAY)),
        }
    };
    world.until(NEW_YEAR + 11 * DAY);
    assert_eq!(world.issued.len(), 2, "{:?}", world.issued);
    let at = world.issued[1].0 - NEW_YEAR;
    assert!((10 * DAY..10 * DAY + 7 * HOUR).contains(&at), "with the next question: {at}");
    world.until(NEW_YEAR + 40 * DAY);
    assert_eq!(world.issued.len(), 2, "and once");
}

#[test]
fn a_window_never_speaks_for_another_certificate() {
    let mut state = State::new(0.5);
    let old = held("old", NEW_YEAR - 60 * DAY, 90);
    state.advised(&old, (NEW_YEAR - DAY, NEW_YEAR), None, NEW_YEAR, 0.5);
    let new = held("new", NEW_YEAR - HOUR, 90);
    assert_eq!(state.next(Some(&new), NEW_YEAR + 2 * HOUR), Step::Ask, "nothing is known of the new one");
    state.unadvised(&new, NEW_YEAR + 2 * HOUR, 0.5);
    assert!(matches!(state.next(Some(&new), NEW_YEAR + 2 * HOUR), Step::Wait(_)));
}

#[test]
fn whatever_the_authority_says_an_hour_is_between_two() {
    let mut world = World::new(90, 0.5);
    // It wants each certificate gone at once.
    world.window = |_, now| Some((now - 2 * HOUR, now - HOUR));
    world.until(NEW_YEAR + DAY);
    assert!(world.issued.len() > 5);
    for pair in world.issued.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= HOUR, "{pair:?}");
    }
}

#[test]
fn already_replaced_is_ordered_again_at_once_without_it() {
    let mut world = World::new(90, 0.5);
    world.until(NEW_YEAR + DAY);
    world.answer = |world| match world.issued.len() {
        1 if world.state.replaced.is_none() => Answer::AlreadyReplaced,
        _ => Answer::Issued,
    };
    world.until(NEW_YEAR + 70 * DAY);
    assert_eq!(world.issued.len(), 2);
    assert_eq!(world.issued[1].1, None);
    let [.., refused, ordered] = world.tries[..] else { panic!() };
    assert_eq!(refused, ordered);
    assert_eq!(world.state.failures, 0);
}

#[test]
fn limit_of_the_authority_is_waited_for() {
    for chance in CHANCES {
        let mut world = World::new(90, chance);
        world.answer = |_| Answer::Refused(Some(34 * HOUR));
        world.until(NEW_YEAR + 4 * DAY);
        assert_eq!(world.tries.len(), 3, "{:?}", world.tries);
        for pair in world.tries.windows(2) {
            assert!(pair[1] - pair[0] >= 34 * HOUR);
        }
    }
    let mut world = World::new(90, 0.5);
    world.answer = |_| Answer::Refused(Some(u64::MAX));
    world.until(NEW_YEAR + 8 * DAY);
    assert_eq!(world.tries.len(), 2, "no word of theirs sends us away for ever");
}

#[test]
fn failures_stay_below_five_an_hour_and_become_one_a_day() {
    for chance in CHANCES {
        let mut world = World::new(90, chance);
        world.answer = |_| Answer::Refused(None);
        world.until(NEW_YEAR + 30 * DAY);
        for start in &world.tries {
            let within = world.tries.iter().filter(|at| (*start..start + HOUR).contains(at)).count();
            assert!(within < 5, "{within} in an hour");
        }
        assert!(world.tries.len() < 50, "{}", world.tries.len());
        let [.., before, last] = world.tries[..] else { panic!() };
        assert!((19 * HOUR..=29 * HOUR).contains(&(last - before)), "{}", last - before);
        world.answer = |_| Answer::Issued;
        world.until(NEW_YEAR + 33 * DAY);
        assert_eq!((world.issued.len(), world.state.failures), (1, 0), "and then all is well");
    }
}

#[test]
fn a_crash_loop_uses_up_no_limit() {
    let mut world = World::new(90, 0.5);
    world.answer = |_| Answer::Crash;
    // Started again every five seconds for a day.
    while world.now < NEW_YEAR + DAY {
        world.restart();
        if matches!(world.state.clone().next(None, world.now), Step::Order { .. }) {
            world.step();
        }
        world.now += 5;
    }
    assert!(world.tries.len() <= 8, "{}", world.tries.len());
}

#[test]
fn clock_that_jumps_does_not_order_twice_nor_wait_for_years() {
    let year = 365 * DAY;
    let mut world = World::new(90, 0.5);
    world.until(NEW_YEAR + DAY);
    // A year ahead: it looks expired, and the authority's own certificate, too.
    world.answer = |_| Answer::Refused(None);
    let today = world.now;
    world.now += year;
    for _ in 0..5 {
        world.step();
    }
    assert!(world.tries.len() >= 2);
    world.answer = |_| Answer::Issued;
    world.now = today;
    world.until(today + 58 * DAY);
    assert_eq!(world.issued.len(), 1, "the one that it has is good: {:?}", world.issued);
    world.until(today + 70 * DAY);
    assert_eq!(world.issued.len(), 2, "and it is renewed in time: {:?}", world.issued);
    // Failed in the future, without a certificate: no year is waited for.
    let mut world = World::new(90, 0.5);
    world.now += year;
    world.answer = |_| Answer::Refused(None);
    world.until(NEW_YEAR + year + 2 * DAY);
    world.now = NEW_YEAR;
    world.answer = |_| Answer::Issued;
    world.until(NEW_YEAR + 2 * DAY);
    assert_eq!(world.issued.len(), 1);
    assert!(world.issued[0].0 <= NEW_YEAR + 29 * HOUR);
    // Issued in the future.
    let mut state = State::new(0.5);
    state.succeeded(NEW_YEAR + year);
    assert!(matches!(state.next(None, NEW_YEAR), Step::Wait(_)));
    assert!(matches!(state.next(None, NEW_YEAR + HOUR), Step::Order { .. }));
}

#[test]
fn clock_that_is_wrong_is_looked_at_every_hour() {
    for chance in CHANCES {
        let mut state = State::new(chance);
        let mut now = NEW_YEAR;
        for _ in 0..50 {
            assert_eq!(state.next(None, now), Step::Order { replaces: None }, "an hour is enough");
            state.begin(now, chance);
            state.failed_by_clock(now, chance);
            now += HOUR + HOUR / 5;
        }
        let mut first = State::new(chance);
        first.begin(now, chance);
        first.failed_by_clock(now, chance);
        assert!(matches!(first.next(None, now + 40), Step::Wait(_)), "a minute after the first");
        assert!(matches!(first.next(None, now + 73), Step::Order { .. }));
    }
}

#[test]
fn fallback_is_for_what_does_not_last() {
    let mut state = State::new(0.5);
    let begin = |state: &mut State, retry_after| {
        state.begin(NEW_YEAR, 0.5);
        state.failed(NEW_YEAR, retry_after, 0.5);
    };
    for failures in 1..=3 {
        begin(&mut state, None);
        assert_eq!(state.is_pressing(None, NEW_YEAR), failures == 3, "{failures}");
    }
    // Of 90 days: 30 left is when renewals begin.
    for (left, expected) in [(30, false), (16, false), (14, true), (0, true)] {
        let held = held("id", NEW_YEAR - (90 - left) * DAY, 90);
        assert_eq!(state.is_pressing(Some(&held), NEW_YEAR), expected, "{left}");
    }
    let mut sent_away = State::new(0.5);
    begin(&mut sent_away, Some(2 * HOUR));
    assert!(sent_away.is_pressing(None, NEW_YEAR));
    // What it gave is renewed as any other, by the first one, which knows nothing of it.
    state.fell_back("other", NEW_YEAR);
    state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    let mut now = NEW_YEAR;
    let held = held("other", NEW_YEAR, 90);
    let step = loop {
        match state.next(Some(&held), now) {
            Step::Wait(wait) => now += wait.as_secs(),
            Step::Ask => state.unadvised(&held, now, 0.5),
            step => break step,
        }
    };
    assert_eq!((step, (now - NEW_YEAR) / DAY), (Step::Order { replaces: None }, 60));
    state.succeeded(now);
    assert!(!state.is_fallback("other"));
}

#[test]
fn lost_storage_orders_once_and_lost_certificate_waits_an_hour() {
    let mut world = World::new(90, 0.5);
    world.until(NEW_YEAR + 3 * DAY);
    (world.held, world.state) = (None, State::new(0.5));
    world.until(NEW_YEAR + 4 * DAY);
    assert_eq!(world.issued.len(), 2);
    // The certificate alone is lost, right after it was issued.
    let at = world.issued[1].0;
    world.now = at + 60;
    world.held = None;
    world.until(at + 2 * HOUR);
    assert!(world.issued[2].0 >= at + HOUR, "{:?}", world.issued);
}

#[test]
fn a_late_window_is_not_waited_for_until_it_is_too_late() {
    let mut world = World::new(90, 0.5);
    world.window = |held, _| Some((held.not_after + DAY, held.not_after + 2 * DAY));
    world.until(NEW_YEAR + 90 * DAY);
    assert_eq!(world.issued.len(), 2, "{:?}", world.issued);
}

#[test]
fn a_state_of_any_age_is_read() {
    let state: State = serde_json::from_str(r#"{ "chance": 0.5, "of_a_later_version": 1 }"#).unwrap();
    assert_eq!(state, State::new(0.5));
}

#[test]
fn what_another_door_has_tried_counts_here_too() {
    let (mut tried, mut idle) = (State::new(0.5), State::new(0.25));
    tried.begin(NEW_YEAR, 0.5);
    tried.failed(NEW_YEAR, Some(DAY), 0.5);
    idle.agree(&tried);
    assert!(matches!(idle.next(None, NEW_YEAR + DAY - 1), Step::Wait(_)), "as late as the authority asked");
    assert!(matches!(idle.next(None, NEW_YEAR + DAY), Step::Order { .. }));
    assert_eq!((idle.failures, idle.chance), (1, 0.25));
    // Who knows less is not believed.
    tried.agree(&State::new(0.5));
    assert_eq!(tried.failures, 1);
    // A success ends it, whoever had it; an older failure does not begin anew.
    let mut won = State::new(0.5);
    won.succeeded(NEW_YEAR + 2 * DAY);
    tried.agree(&won);
    assert_eq!((tried.failures, tried.next_try), (0, None));
    won.agree(&idle);
    assert_eq!((won.failures, won.issued), (0, Some(NEW_YEAR + 2 * DAY)));
}

#[test]
fn a_certificate_of_another_door_is_renewed_without_its_name() {
    let (mut own, mut other, taken) = (State::new(0.25), State::new(0.5), held("theirs", NEW_YEAR, 90));
    own.begin(NEW_YEAR, 0.5);
    own.order = Some(OrderInHand { url: "x".into(), generation: 1 });
    other.succeeded(NEW_YEAR);
    own.took_over(&other, "theirs");
    assert_eq!((own.failures, &own.order, own.chance), (0, &None, 0.25));
    let due = own.due(&taken);
    own.unadvised(&taken, due, 0.5);
    assert_eq!(own.next(Some(&taken), due), Step::Order { replaces: None }, "the account there is another");
}

#[test]
fn a_failure_is_heard_though_clocks_are_apart() {
    let (mut ahead, mut behind, taken) = (State::new(0.5), State::new(0.5), held("a", NEW_YEAR, 90));
    ahead.succeeded(NEW_YEAR);
    behind.took_over(&ahead, "a");
    // The clock there is two seconds behind, and the authority asks for another certificate.
    behind.next(None, NEW_YEAR - 2);
    assert_eq!(behind.issued, Some(NEW_YEAR - 2));
    let due = ahead.due(&taken);
    behind.begin(due, 0.5);
    ahead.agree(&behind);
    assert!(matches!(ahead.next(None, due), Step::Wait(_)), "what one has failed at no other tries sooner");
    behind.agree(&State { failures: 0, next_try: None, ..ahead.clone() });
    assert_eq!(behind.failures, 1);
}
