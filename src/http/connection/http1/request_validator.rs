//! Follows the bytes of one HTTP/1 connection and says how many of them may pass: heads and bodies, one after the
//! other, each with one meaning. Without input, output or clock.

use super::head::{Framing, Head, Limits, Scan};
use crate::http::chunked::{self, Chunked};
use crate::http::field_line::is_token;
use crate::http::{Refusal, target};

/// Where a connection is.
#[derive(Debug)]
pub struct RequestValidator {
    limits: Limits,
    state: State,
    heads: u64,
    /// A plain head at the beginning of the next bytes is offered.
    offers: bool,
}

#[derive(Debug)]
enum State {
    /// Between requests, or in a head.
    Head(Scan),
    Body {
        left: u64,
    },
    Chunked(Chunked),
    /// An upgrade was asked for: until it is answered nothing may come.
    Upgrading,
    /// The upgrade was granted: the bytes are no longer HTTP.
    Raw,
    /// Nothing passes any more.
    Shut,
}

/// What became of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// How many of them may pass.
    pub pass: usize,
    /// What holds for the rest.
    pub next: Next,
}

/// The next step, after the bytes that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The rest, if any, is the beginning of a head: show it again with more.
    More,
    /// The rest begins with a head of so many bytes that may pass as [`respelt`](super::head::respelt), and in no other
    /// spelling. It is taken in already: what follows it is to be shown next.
    Respell(usize),
    /// The rest begins with a plain head of so many bytes, which was asked for: see [`RequestValidator::offer`]. It is
    /// taken in already, and may pass: what follows it is to be shown next.
    Offer(usize),
    /// The rest is no request. It counts as one: its refusal is its answer.
    Refuse(Refusal),
    /// The rest is not what a body must be.
    BadBody,
    /// The rest came before its upgrade was answered.
    TooEager,
}

impl RequestValidator {
    pub fn new(limits: Limits) -> RequestValidator {
        RequestValidator { limits, state: State::Head(Scan::default()), heads: 0, offers: false }
    }

    /// Whether a plain head is to be shown alone, where the bytes that are inspected next begin with one.
    pub fn offer(&mut self, is_wanted: bool) {
        self.offers = is_wanted;
    }

    /// How many requests have passed, or were refused, so far.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Every request so far is whole, and the next has at most begun.
    pub fn is_at_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// How much is to come of a body whose length was said, in its midst.
    pub fn body_left(&self) -> Option<u64> {
        if let State::Body { left } = self.state { Some(left) } else { None }
    }

    /// So many bytes of such a body have passed, and not been looked at: they may be any.
    pub fn pass_body(&mut self, length: usize) {
        if let State::Body { left } = &mut self.state {
            *left = left.saturating_sub(length as u64);
            if *left == 0 {
                self.state = State::Head(Scan::default());
            }
        }
    }

    /// The last request's upgrade is not answered yet.
    pub fn is_upgrading(&self) -> bool {
        matches!(self.state, State::Upgrading)
    }

    /// The upgrade was answered.
    pub fn upgraded(&mut self, granted: bool) {
        self.state = if granted { State::Raw } else { State::Head(Scan::default()) };
    }

    /// Refuses whatever comes; counts it as a request.
    pub fn refuse(&mut self) {
        self.heads += 1;
        self.state = State::Shut;
    }

    /// Looks at `bytes`: what was left of the last ones, then new ones.
    pub fn inspect(&mut self, bytes: &[u8]) -> Inspection {
        let offers = std::mem::take(&mut self.offers);
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if rest.is_empty() {
                return Inspection { pass: at, next: Next::More };
            }
            match &mut self.state {
                State::Head(scan) => match scan.end(rest, &self.limits) {
                    Ok(None) => return Inspection { pass: at, next: Next::More },
                    Ok(Some(end)) => match self.enter(&rest[..end], rest.len() > end) {
                        Ok(head) if head.is_odd => return Inspection { pass: at, next: Next::Respell(end) },
                        Ok(head) if head.is_plain && offers && at == 0 => {
                            return Inspection { pass: at, next: Next::Offer(end) };
                        }
                        Ok(_) => at += end,
                        Err(refusal) => return self.refused(at, refusal),
                    },
                    Err(refusal) => return self.refused(at, refusal),
                },
                State::Body { left } => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    self.pass_body(length);
                    at += length;
                }
                State::Chunked(chunked) => match chunked.follow(rest) {
                    Ok(length) => {
                        at += length;
                        if chunked.is_at_end() {
                            self.state = State::Head(Scan::default());
                        }
                    }
                    Err((length, _)) => {
                        self.state = State::Shut;
                        return Inspection { pass: at + length, next: Next::BadBody };
                    }
                },
                State::Upgrading => {
                    self.state = State::Shut;
                    return Inspection { pass: at, next: Next::TooEager };
                }
                State::Raw => at = bytes.len(),
                State::Shut => return Inspection { pass: at, next: Next::BadBody },
            }
        }
    }

    /// Takes in a whole head. `more` is whether bytes follow it already.
    fn enter(&mut self, bytes: &[u8], more: bool) -> Result<Head, Refusal> {
        let head = Head::read(bytes, &self.limits)?;
        if head.is_upgrade && more {
            return Err(Refusal::UpgradeTooEager);
        }
        self.heads += 1;
        self.state = match head.framing {
            _ if head.is_upgrade => State::Upgrading,
            Framing::None => State::Head(Scan::default()),
            Framing::Length(left) => State::Body { left },
            Framing::Chunked => State::Chunked(Chunked::new(&chunked::ChunkLimits::REQUEST)),
        };
        Ok(head)
    }

    fn refused(&mut self, pass: usize, refusal: Refusal) -> Inspection {
        self.refuse();
        Inspection { pass, next: Next::Refuse(refusal) }
    }
}

/// A harmless request in place of a refused one, so that its refusal is an answer like any other: in its turn, with a
/// page as the client likes it, in the log and in the metrics. Keeps what of `bytes` can be kept: the method (to HEAD
/// no page is sent), the target, and `Accept`.
pub fn refusal_line(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let method = words.next().filter(|method| is_method(method)).unwrap_or(b"GET");
    let target = words.next().filter(|target| target.len() <= 1024 && target::is_origin_form(target)).unwrap_or(b"/");
    let target = &*target::encoded(target);
    let accept = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(7)?;
        let is_plain = value.len() <= 512 && value.iter().all(|byte| (0x20..0x7f).contains(byte));
        (name.eq_ignore_ascii_case(b"accept:") && is_plain).then_some(value)
    });
    let mut request = [method, b" ", target, b" HTTP/1.1\r\nconnection: close\r\n"].concat();
    if let Some(value) = accept {
        request.extend([b"accept:", value, b"\r\n"].concat());
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn is_method(bytes: &[u8]) -> bool {
    (1..=16).contains(&bytes.len()) && bytes.iter().copied().all(is_token) && bytes != b"CONNECT"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { head: 12 * 1024, headers: 100, target: 8 * 1024 };
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

    fn guard() -> RequestValidator {
        RequestValidator::new(LIMITS)
    }

    fn more(pass: usize) -> Inspection {
        Inspection { pass, next: Next::More }
    }

    #[test]
    fn bodies_end_where_the_next_head_begins() {
        let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let all = [GET, post, chunked, GET].concat();
        let mut guard = guard();
        assert_eq!(guard.inspect(all.as_bytes()), more(all.len()));
        assert_eq!(guard.heads(), 4);
        assert!(guard.is_at_head());
    }

    #[test]
    fn a_bad_request_after_good_ones_lets_these_pass() {
        let mut guard = guard();
        let inspection = guard.inspect([GET, GET, "GET / HTTP/1.1\r\nbad\r\n\r\n", GET].concat().as_bytes());
        assert_eq!(inspection, Inspection { pass: 2 * GET.len(), next: Next::Refuse(Refusal::Header) });
        assert_eq!(guard.heads(), 3);
        assert_eq!(guard.inspect(GET.as_bytes()).pass, 0, "nothing is read after a refusal");
    }

    #[test]
    fn a_bad_body_passes_up_to_its_fault() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let inspection = guard().inspect(format!("{head}3\r\nabcX").as_bytes());
        assert_eq!(inspection, Inspection { pass: head.len() + 6, next: Next::BadBody });
    }

    #[test]
    fn nothing_may_come_before_an_upgrade_is_answered() {
        let mut guard = guard();
        assert_eq!(guard.inspect([UPGRADE, "\0"].concat().as_bytes()).next, Next::Refuse(Refusal::UpgradeTooEager));
        let mut guard = self::guard();
        assert_eq!(guard.inspect(UPGRADE.as_bytes()), more(UPGRADE.len()));
        assert_eq!(guard.inspect(b"\0"), Inspection { pass: 0, next: Next::TooEager });
    }

    #[test]
    fn only_a_plain_head_at_the_beginning_is_offered() {
        let post = "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n";
        let offered = |guard: &mut RequestValidator, text: &str| {
            guard.offer(true);
            guard.inspect(text.as_bytes())
        };
        let mut guard = guard();
        let offer = Inspection { pass: 0, next: Next::Offer(GET.len()) };
        assert_eq!(offered(&mut guard, &[GET, GET].concat()), offer);
        assert_eq!(guard.inspect(GET.as_bytes()), more(GET.len()), "one alone was asked for");
        assert_eq!(offered(&mut guard, post), more(post.len()));
        assert_eq!(offered(&mut guard, &["x", GET].concat()), more(1 + GET.len()));
        assert_eq!(offered(&mut guard, &GET[..9]), more(0));
        assert_eq!(offered(&mut guard, GET), offer);
        assert_eq!(guard.heads(), 5);
    }

    #[test]
    fn after_the_answer_bytes_are_raw_or_http_again() {
        for granted in [true, false] {
            let mut guard = guard();
            guard.inspect(UPGRADE.as_bytes());
            assert!(guard.is_upgrading());
            guard.upgraded(granted);
            assert_eq!(guard.inspect(GET.as_bytes()), more(GET.len()));
            let inspection = guard.inspect(b"\x16\0\n");
            assert_eq!(inspection.next == Next::More, granted, "{inspection:?}");
        }
    }

    #[test]
    fn the_stand_in_keeps_what_is_harmless() {
        let text = |bytes: &[u8]| String::from_utf8(refusal_line(bytes)).unwrap();
        assert_eq!(text(b"\x16\x03"), "GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
        assert_eq!(
            text(b"HEAD /a?b HTTP/1.1\r\nX: \0\r\nAccept: text/html\r\nConnection: upgrade\r\n\r\n"),
            "HEAD /a?b HTTP/1.1\r\nconnection: close\r\naccept: text/html\r\n\r\n"
        );
        assert_eq!(text(b"CONNECT a:1 HTTP/1.1\n"), "GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
    }

    proptest! {
        /// A stand-in is always let in, whatever it stands for.
        #[test]
        fn the_stand_in_is_a_request(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let request = refusal_line(&bytes);
            prop_assert_eq!(guard().inspect(&request), more(request.len()));
        }

        /// However the bytes are cut, the same ones pass, and the same inspection is reached.
        #[test]
        fn pieces_change_nothing(
            parts in prop::collection::vec(prop_oneof![
                Just(GET.to_owned()),
                Just("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".to_owned()),
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[a-z]{2,3}\r\n0\r\n\r\n",
                "GET / HTTP/1.1\r\n[a-z :\n]{0,6}\r\n\r\n",
            ], 0..5),
            cuts in prop::collection::vec(1usize..40, 0..30),
        ) {
            let text = parts.concat();
            let mut whole = guard();
            let expected = whole.inspect(text.as_bytes());
            let (mut pieces, mut passed, mut shown) = (guard(), 0, 0);
            let mut next = Next::More;
            for cut in cuts.into_iter().chain([text.len()]) {
                shown = text.len().min(shown + cut);
                let inspection = pieces.inspect(&text.as_bytes()[passed..shown]);
                passed += inspection.pass;
                next = inspection.next;
                if next != Next::More {
                    break;
                }
            }
            prop_assert_eq!(Inspection { pass: passed, next }, expected);
            prop_assert_eq!(pieces.heads(), whole.heads());
        }
    }
}
