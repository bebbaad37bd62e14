//! When a certificate is ordered, and when the authority is asked for its advice: a state, a clock, and what to do next.
//!
//! No socket and no clock is in it: all times are given, in seconds since 1970, and so is chance, as a number from 0 to 1.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// After a failure; the last one stands for all further ones. Authorities allow some five failures of a name an hour.
const DELAYS: [u64; 9] = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY];

/// How far a delay is moved by chance, so that doors that failed together do not come back together.
const DELAY_JITTER: f64 = 0.2;

/// The longest that an authority may send us away for.
const LONGEST_DELAY: u64 = 7 * DAY;

/// Never two certificates of one name within this, whatever anybody says: five duplicates a week are all that there are.
const BETWEEN_ORDERS: u64 = HOUR;

/// Two doors' clocks are no further apart than this: so close the same certificate was given out.
const CLOCKS_APART: u64 = 5 * MINUTE;

/// How often the authority is asked for its window where it does not say, and at least and at most.
const ASK_EVERY: u64 = 6 * HOUR;
const ASK_AT_LEAST: u64 = MINUTE;
const ASK_AT_MOST: u64 = DAY;
const ASK_JITTER: f64 = 0.1;

/// Below this life a certificate is renewed at half of it, otherwise at two thirds.
const SHORT_LIFE: u64 = 10 * DAY;
const RENEWAL_JITTER: f64 = 0.05;

/// Tries that fail before another authority is asked: the third is some six minutes after the first.
const FAILURES_BEFORE_FALLBACK: u32 = 3;

/// With less than this part of its life left a certificate does not last: two weeks of 90 days.
const PRESSING: f64 = 1.0 / 6.0;

/// A window that begins later than this part of the life is not waited for.
const LATEST: f64 = 0.95;

/// The certificate that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// As the authority knows it (RFC 9773 section 4.1).
    pub id: String,
    pub not_before: u64,
    pub not_after: u64,
}

/// A wait that was decided on, with the time at which it was: a clock that is set back must not make it longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    from: u64,
    until: u64,
}

impl Pause {
    fn new(from: u64, length: u64) -> Pause {
        Pause { from, until: from.saturating_add(length) }
    }

    /// The end of it, for a clock that says `now`.
    fn end(&mut self, now: u64) -> u64 {
        if now < self.from {
            *self = Pause::new(now, self.until.saturating_sub(self.from));
        }
        self.until
    }
}

/// What the authority advises for one certificate (ARI, RFC 9773). It says nothing about any other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Window {
    id: String,
    start: u64,
    end: u64,
    /// A point of it, drawn once.
    at: u64,
}

/// An order that has been begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderInHand {
    pub url: String,
    /// The folder of its key.
    pub generation: u64,
}

/// What must survive a restart, for one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Tries in a row that did not end well; one that is under way counts, so that a crash in it does, too.
    #[serde(default)]
    pub failures: u32,
    #[serde(default)]
    next_try: Option<Pause>,
    /// When a certificate was given out last.
    #[serde(default)]
    issued: Option<u64>,
    #[serde(default)]
    window: Option<Window>,
    #[serde(default)]
    next_question: Option<Pause>,
    /// The certificate for which that question is.
    #[serde(default)]
    asked_for: Option<String>,
    /// The certificate that is replaced already, as the authority says: an order that names it is refused.
    #[serde(default)]
    replaced: Option<String>,
    /// The certificate that came from the fallback: another authority than this one knows of it.
    #[serde(default)]
    fallback: Option<String>,
    /// The last try failed, and the name was not to blame: meanwhile the fallback may be asked.
    #[serde(default)]
    pub is_away: bool,
    #[serde(default)]
    pub order: Option<OrderInHand>,
    /// Drawn once, so that every start of the door comes to the same time.
    chance: f64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Order a certificate; `replaces` is the one that it takes the place of.
    Order { replaces: Option<String> },
    /// Ask the authority when the certificate is to be renewed.
    Ask,
    /// Nothing for so long.
    Wait(Duration),
}

impl State {
    /// For a name that nothing is known of.
    pub fn new(chance: f64) -> State {
        State {
            failures: 0,
            next_try: None,
            issued: None,
            window: None,
            next_question: None,
            asked_for: None,
            replaced: None,
            fallback: None,
            is_away: false,
            order: None,
            chance,
        }
    }

    /// What is to be done `now`, with the certificate that is `held`.
    pub fn next(&mut self, held: Option<&Held>, now: u64) -> Step {
        let due = held.map_or(now, |held| self.due(held));
        if let Some(held) = held
            && now < due
            && self.asks(held, now)
        {
            return Step::Ask;
        }
        let may = due.max(self.may_order(now));
        if now >= may {
            let unknown = |id: &String| self.replaced.as_ref() == Some(id) || self.fallback.as_ref() == Some(id);
            let replaces = held.map(|held| held.id.clone()).filter(|id| !unknown(id));
            return Step::Order { replaces };
        }
        // Also while an order has to wait: a mass revocation is heard of, and what was one is over.
        let question = held.and_then(|held| self.question(held, now)).filter(|_| now < due);
        let until = question.map_or(may, |question| may.min(question));
        // Looked at anew from time to time: clocks are set, and laptops sleep.
        Step::Wait(Duration::from_secs((until - now).clamp(1, HOUR)))
    }

    /// When `held` is to be renewed: the authority's word before ours.
    pub fn due(&self, held: &Held) -> u64 {
        let life = held.not_after.saturating_sub(held.not_before);
        let part = |part: f64| held.not_before.saturating_add(scaled(life, part));
        match self.window.as_ref().filter(|window| window.id == held.id) {
            Some(window) => window.at.min(part(LATEST)),
            None => {
                let usual = if life < SHORT_LIFE { 1.0 / 2.0 } else { 2.0 / 3.0 };
                part(usual * jittered(RENEWAL_JITTER, self.chance))
            }
        }
    }

    /// The earliest time for an order.
    fn may_order(&mut self, now: u64) -> u64 {
        let failed = self.next_try.as_mut().map_or(0, |pause| pause.end(now));
        // One in the future is a clock that was set: it was now at the latest.
        let issued = self.issued.map(|issued| issued.min(now));
        self.issued = issued;
        failed.max(issued.map_or(0, |issued| issued + BETWEEN_ORDERS))
    }

    fn question(&mut self, held: &Held, now: u64) -> Option<u64> {
        let is_this = self.asked_for.as_ref() == Some(&held.id);
        self.next_question.as_mut().filter(|_| is_this).map(|pause| pause.end(now))
    }

    fn asks(&mut self, held: &Held, now: u64) -> bool {
        self.question(held, now).is_none_or(|at| now >= at)
    }

    /// To be stored before an order is begun: then neither a crash nor a restart forgets the try.
    pub fn begin(&mut self, now: u64, chance: f64) {
        self.failures = self.failures.saturating_add(1);
        self.is_away = false;
        self.pause(now, None, chance);
    }

    /// The try that was begun came to nothing; `retry_after` is what the authority said, in seconds.
    pub fn failed(&mut self, now: u64, retry_after: Option<u64>, chance: f64) {
        self.pause(now, retry_after, chance);
    }

    /// It came to nothing because of the clock here, which may be right the next moment: that is not waited for as for an
    /// authority, of which nothing was asked.
    pub fn failed_by_clock(&mut self, now: u64, chance: f64) {
        self.pause(now, None, chance);
        let longest = Pause::new(now, scaled(HOUR, jittered(DELAY_JITTER, chance)));
        self.next_try = self.next_try.map(|pause| if pause.until > longest.until { longest } else { pause });
    }

    fn pause(&mut self, now: u64, retry_after: Option<u64>, chance: f64) {
        let step = usize::try_from(self.failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let own = scaled(DELAYS[step.min(DELAYS.len() - 1)], jittered(DELAY_JITTER, chance));
        let length = retry_after.map_or(own, |asked| own.max(asked.min(LONGEST_DELAY)));
        self.next_try = Some(Pause::new(now, length));
    }

    /// The authority says that `id` is replaced already (409 `alreadyReplaced`): it is ordered again at once, as for the
    /// first time.
    pub fn replaced(&mut self, id: &str) {
        self.replaced = Some(id.to_owned());
        self.failures = self.failures.saturating_sub(1);
        self.next_try = None;
        self.order = None;
    }

    /// A certificate has been issued, and stored.
    pub fn succeeded(&mut self, now: u64) {
        *self = State { issued: Some(now), ..State::new(self.chance) };
    }

    /// Whether another authority is to be asked, after a failure for which the name is not to blame: this one has failed for
    /// long, or wants to be left alone for long, and what is `held` does not last.
    pub fn is_pressing(&self, held: Option<&Held>, now: u64) -> bool {
        let is_long = self.next_try.is_some_and(|pause| pause.until.saturating_sub(now) > HOUR);
        let lasts = held.is_some_and(|held| {
            let life = held.not_after.saturating_sub(held.not_before);
            held.not_after.saturating_sub(now) > scaled(life, PRESSING)
        });
        (is_long || self.failures >= FAILURES_BEFORE_FALLBACK) && !lasts
    }

    /// The certificate `id` of the fallback has been stored in the place of ours. The next order is ours again.
    pub fn fell_back(&mut self, id: &str, now: u64) {
        self.succeeded(now);
        self.fallback = Some(id.to_owned());
    }

    /// Whether `id` came from the fallback.
    pub fn is_fallback(&self, id: &str) -> bool {
        self.fallback.as_deref() == Some(id)
    }

    /// What another door knows, where it has tried or succeeded later than this one.
    pub fn agree(&mut self, other: &State) {
        let until = |state: &State| state.next_try.map_or(0, |pause| pause.until);
        let issued = |state: &State| state.issued.unwrap_or(0);
        // The same certificate, by two doors' clocks.
        let is_same = issued(other).abs_diff(issued(self)) <= CLOCKS_APART;
        let is_later = issued(other) > issued(self);
        if (is_same && until(other) > until(self)) || (!is_same && is_later) {
            let State { failures, next_try, issued, is_away, .. } = other.clone();
            *self = State { failures, next_try, issued, is_away, ..self.clone() };
        }
    }

    /// The certificate `id` of another door has been stored, with what that knows. It was ordered under another account, for
    /// which this one can replace nothing.
    pub fn took_over(&mut self, other: &State, id: &str) {
        *self = State { order: None, replaced: Some(id.to_owned()), chance: self.chance, ..other.clone() };
    }

    /// What the authority said of `held`: a window, and after how many seconds it wants to be asked again.
    pub fn advised(&mut self, held: &Held, (start, end): (u64, u64), again: Option<u64>, now: u64, chance: f64) {
        let is_known =
            self.window.as_ref().is_some_and(|known| (&known.id, known.start, known.end) == (&held.id, start, end));
        // A window that ends before it begins is none (RFC 9773 section 4.2).
        if !is_known && end > start {
            let at = start.saturating_add(scaled(end - start, chance));
            self.window = Some(Window { id: held.id.clone(), start, end, at });
        }
        self.ask_again(held, again, now, chance);
    }

    /// The authority gives no advice, or could not be asked. What it said before of this certificate still holds.
    pub fn unadvised(&mut self, held: &Held, now: u64, chance: f64) {
        self.ask_again(held, None, now, chance);
    }

    fn ask_again(&mut self, held: &Held, after: Option<u64>, now: u64, chance: f64) {
        let after = scaled(after.unwrap_or(ASK_EVERY), jittered(ASK_JITTER, chance));
        self.next_question = Some(Pause::new(now, after.clamp(ASK_AT_LEAST, ASK_AT_MOST)));
        self.asked_for = Some(held.id.clone());
    }
}

/// From `1 - spread` to `1 + spread`.
fn jittered(spread: f64, chance: f64) -> f64 {
    1.0 - spread + 2.0 * spread * chance.clamp(0.0, 1.0)
}

fn scaled(seconds: u64, by: f64) -> u64 {
    Duration::from_secs(seconds).mul_f64(by.max(0.0)).as_secs()
}

#[cfg(test)]
mod tests;
