//! The law of early answers: with them and without, a client reads the same bytes, but for the date.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test that panics says so")]

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;

use super::early::{Early, Taken};
use super::*;
use crate::drain::Drain;
use crate::http::body::BodyError;
use crate::http::connection::{Begun, Onion, Outgoing, switch};
use crate::http::layer::bodiless::Bodiless;
use crate::http::layer::canonical::Canonical;
use crate::http::layer::layer;
use crate::http::layer::rescue::Rescue;
use crate::http::layer::upgrade::Upgrades;
use crate::http::{Config, Failure, Request, Response, Settings};
use crate::listen::Peer;
use crate::telemetry::registry;

const END: Duration = Duration::from_millis(300);

/// What a site says to a request.
type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// An answer, and whether it is waited for.
struct Answer(Response, bool);

/// A body in pieces, whose length it says or does not say, and which may break off.
struct Pieces {
    pieces: Vec<Bytes>,
    says_length: bool,
    breaks: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match self.pieces.pop() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if std::mem::take(&mut self.breaks) => Some(Err("it broke off".into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !self.breaks
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.pieces.iter().map(Bytes::len).sum::<usize>() as u64;
        if self.says_length { SizeHint::with_exact(length) } else { SizeHint::new() }
    }
}

/// Counts what is asked for, and passes it on.
struct Counted {
    onion: Arc<dyn Answers>,
    asked: AtomicUsize,
}

impl Answers for Counted {
    fn begin(&self, request: http::Request<Body>) -> Begun {
        self.onion.begin(request)
    }

    fn ask(&self, request: http::Request<Body>, context: &mut Context<'_>) -> Result<http::Response<Outgoing>, Begun> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.onion.ask(request, context)
    }
}

fn connected() -> Arc<Connected> {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let peer = Peer { address, local: address, tls: None };
    // So soon a connection ends on which nothing more comes.
    let (head_timeout, idle_timeout, body_timeout) = (END, END, END);
    let http = Config { head_timeout, idle_timeout, body_timeout, ..Config::default() };
    Arc::new(Connected::new(peer, Arc::new(Settings { http, ..Settings::default() })))
}

fn counted(script: &Script, connected: &Arc<Connected>) -> Arc<Counted> {
    let script = Arc::clone(script);
    let rooms = tower::service_fn(move |mut request: Request| {
        let switching = (request.uri().path() == "/socket").then(|| switch::on(&mut request));
        let Answer(response, is_waited_for) = script(&request);
        Box::pin(async move {
            let _ = request.into_body().collect().await;
            if is_waited_for {
                tokio::task::yield_now().await;
            }
            if let Some(switching) = switching.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
                tokio::spawn(async move {
                    let mut raw = switching.await.unwrap().io();
                    raw.write_all(b"bytes of another protocol").await.unwrap();
                    raw.shutdown().await.unwrap();
                });
            }
            Ok::<_, Failure>(response)
        })
    });
    let rescue = Rescue::new(&mut registry());
    let layers = ServiceBuilder::new().layer(layer(Bodiless)).layer(layer(rescue));
    let service = Mutex::new(layers.layer(layer(Upgrades)).layer(layer(Canonical)).service(rooms));
    let onion = Arc::new(Onion { service, connected: Arc::clone(connected) });
    Arc::new(Counted { onion, asked: AtomicUsize::new(0) })
}

/// All that a client reads which sends `bytes` and then nothing more, and how many requests were taken beneath hyper.
async fn talk(is_early: bool, bytes: &[u8], script: &Script) -> (Vec<u8>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    // All of it is there before the clock runs.
    client.write_all(bytes).await.unwrap();
    let (connected, drain) = (connected(), Drain::default());
    let answers = counted(script, &connected);
    let (handover, shared) = (Handover::default(), Arc::clone(&answers) as Arc<dyn Answers>);
    let early = Early::new(Arc::clone(&shared), Arc::clone(&handover));
    let early = if is_early { early } else { early.off() };
    let server = drive(Stream::from(stream), connected, shared, (early, handover), drain.signal());
    let client = async move {
        let mut read = Vec::new();
        let _ = client.read_to_end(&mut read).await;
        read
    };
    let ((), read) = tokio::join!(server, client);
    (without_ids(&without_dates(&read)), answers.asked.load(Ordering::SeqCst))
}

fn without_dates(bytes: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"\r\ndate: ";
    let (mut kept, mut rest) = (Vec::new(), bytes);
    while let Some(at) = memchr::memmem::find(rest, NAME) {
        kept.extend_from_slice(&rest[..at]);
        let value = &rest[at + NAME.len()..];
        // A date of the site's own stays.
        let is_ours =
            value.get(..29).is_some_and(|date| date.ends_with(b"GMT") && !date.starts_with(b"Sun, 06 Nov 1994"));
        kept.extend_from_slice(if is_ours { b"\r\ndate: *" } else { NAME });
        rest = if is_ours { &value[29..] } else { value };
    }
    kept.extend_from_slice(rest);
    kept
}

fn without_ids(bytes: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"x-request-id: ";
    let mut kept = bytes.to_vec();
    while let Some(at) = memchr::memmem::find(&kept, NAME) {
        let id = kept[at + NAME.len()..].iter().copied().take_while(|byte| *byte != b'\r').collect::<Vec<_>>();
        kept.splice(at..at + NAME.len(), *b"id: ");
        while let Some(at) = memchr::memmem::find(&kept, &id).filter(|_| !id.is_empty()) {
            kept.splice(at..at + id.len(), *b"*");
        }
    }
    kept
}

/// A site that says back what it was asked, so that a request that is read in another way is another answer.
fn mirror() -> Script {
    Arc::new(|request| {
        let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
        for (name, value) in request.headers() {
            text.push_str(&format!("{name}: {value:?}\n"));
        }
        Answer(Response::new(Body::from(text)), false)
    })
}

/// The same, as a client that closes behind its last request.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

async fn law(bytes: &[u8], script: &Script) -> (Vec<u8>, usize) {
    let (with, taken) = talk(true, bytes, script).await;
    let (without, none) = talk(false, bytes, script).await;
    assert_eq!(none, 0, "it was switched off");
    let (shown, expected) = (String::from_utf8_lossy(&with), String::from_utf8_lossy(&without));
    assert_eq!(shown, expected, "{:?}", String::from_utf8_lossy(bytes));
    assert_eq!(with, without);
    (with, taken)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

const PLAIN: &str = "GET /a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX: \u{e9}\r\nX: y\r\n\r\n";

#[test]
fn requests_one_behind_the_other_are_answered_in_their_order() {
    let post = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let old = "GET /d HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let expecting = "PUT /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
    let odd = "GET /f|g HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let empty = "\r\nDELETE http://a/i?j HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let bad = "GET /k HTTP/1.1\r\nbad\r\n\r\n";
    let all = [PLAIN, post, chunked, old, expecting, odd, head, empty];
    for (sent, least) in [
        (vec![PLAIN, LAST], 1),
        (vec![PLAIN, PLAIN, PLAIN, head, empty, LAST], 5),
        (vec![post, PLAIN, chunked, PLAIN, LAST], 0),
        (vec![PLAIN, old, PLAIN, LAST], 1),
        (vec![PLAIN, expecting, PLAIN, odd, PLAIN, LAST], 1),
        (vec![PLAIN, bad], 1),
        (vec![PLAIN, "\n"], 1),
        (all.into_iter().chain([LAST]).collect(), 1),
    ] {
        let (answers, taken) = run(law(sent.concat().as_bytes(), &mirror()));
        let wanted = sent.iter().filter(|request| ***request != *bad && **request != "\n").count();
        let answers = String::from_utf8_lossy(&answers).matches("HTTP/1.1 200 OK").count();
        assert!(answers >= wanted, "{answers} of {wanted}: {sent:?}");
        assert!(taken >= least, "{taken} of {least} were taken: {sent:?}");
    }
}

#[test]
fn an_upgrade_is_granted_and_refused_as_ever() {
    let ask = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answered = |status: u16, is_waited_for: bool| -> Script {
        Arc::new(move |request| {
            let mut response = Response::new(Body::Empty);
            if request.uri().path() == "/socket" {
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
            }
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                response.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
            }
            Answer(response, is_waited_for)
        })
    };
    let begins = |answers: &[u8], wanted: &str| {
        let answers = String::from_utf8_lossy(answers);
        assert!(answers.starts_with(&format!("HTTP/1.1 {wanted}")), "{answers}");
    };
    for is_waited_for in [false, true] {
        for before in ["", PLAIN] {
            let (granted, _) = run(law([before, ask].concat().as_bytes(), &answered(101, is_waited_for)));
            assert!(granted.ends_with(b"\r\n\r\nbytes of another protocol"), "{}", String::from_utf8_lossy(&granted));
        }
        let (refused, _) = run(law(ask.as_bytes(), &answered(403, is_waited_for)));
        begins(&refused, "403 ");
        let closing = ask.replace("Connection: upgrade", "Connection: upgrade, close");
        let (refused, _) = run(law([&closing, PLAIN].concat().as_bytes(), &answered(403, is_waited_for)));
        begins(&refused, "400 ");
        let (refused, _) = run(law(closing.as_bytes(), &answered(403, is_waited_for)));
        begins(&refused, "403 ");
        assert!(String::from_utf8_lossy(&refused).contains("connection: close"), "it is told so");
        let (eager, _) = run(law([ask, "x"].concat().as_bytes(), &answered(101, is_waited_for)));
        begins(&eager, "400 ");
    }
}

/// What fuzzing found worth keeping of the bytes of clients.
#[test]
fn seeds_of_the_fuzz_targets_keep_the_law() {
    let mut seeds = Vec::new();
    for target in ["http1_guard", "canonical"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
        let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        seeds.extend(files.map(|bytes| bytes.get(1..).unwrap_or_default().to_vec()));
    }
    let mirror = mirror();
    let laws = seeds.iter().flat_map(|seed| {
        let (alone, more) = ([PLAIN.as_bytes(), seed].concat(), [PLAIN.as_bytes(), seed, LAST.as_bytes()].concat());
        [alone, more].map(|bytes| async { law(&{ bytes }, &mirror).await })
    });
    let taken: usize = run(futures_util::future::join_all(laws)).iter().map(|(_, taken)| taken).sum();
    assert!(taken > seeds.len(), "{taken} of {} were taken", seeds.len());
}

/// A body that breaks off before it has begun, whatever length it said that it had.
struct Breaking {
    said: u64,
    is_broken: bool,
}

impl http_body::Body for Breaking {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let is_broken = std::mem::replace(&mut self.is_broken, true);
        Poll::Ready((!is_broken).then(|| Err("it broke off".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.is_broken
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.is_broken { 0 } else { self.said })
    }
}

#[test]
fn what_breaks_off_before_its_body_ends_its_connection() {
    for is_waited_for in [false, true] {
        let script: Script = Arc::new(move |_| {
            let mut response = Response::new(Body::boxed(Breaking { said: 100, is_broken: false }));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("100"));
            Answer(response, is_waited_for)
        });
        let (answers, taken) = run(law([PLAIN, PLAIN, LAST].concat().as_bytes(), &script));
        let answers = String::from_utf8_lossy(&answers);
        assert!(answers.starts_with("HTTP/1.1 200 OK\r\n") && answers.ends_with("\r\n\r\n"), "{answers}");
        assert_eq!((answers.matches("HTTP/1.1").count(), taken), (1, 1), "nothing comes behind it: {answers}");
    }
}

/// Anything that a room may say: what is at hand, what comes in time, in pieces, with or without a length, and broken off.
fn answers() -> impl Strategy<Value = (u16, usize, usize, bool, bool, u8, bool)> {
    let status = prop::sample::select(vec![200u16, 201, 204, 206, 302, 304, 308, 404, 405, 412, 416, 421, 500, 503]);
    (status, 0usize..3, 0usize..40_000, any::<bool>(), any::<bool>(), any::<u8>(), any::<bool>())
}

fn answer(
    (status, pieces, length, says_length, breaks, marks, is_waited_for): (u16, usize, usize, bool, bool, u8, bool),
) -> Answer {
    let piece = Bytes::from(vec![b'x'; length]);
    let whole = pieces * length;
    let body = match (marks & 3, pieces) {
        (_, 0) => Body::Empty,
        (0, 1) => Body::from(piece),
        _ => Body::boxed(Pieces { pieces: vec![piece; pieces], says_length, breaks: breaks && marks & 64 > 0 }),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    let mut mark = |bit: u8, name, value: &str| {
        if marks & bit > 0 {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
    };
    mark(4, CONTENT_LENGTH, &whole.to_string());
    mark(8, SET_COOKIE, "a=b");
    mark(8, SET_COOKIE, "c=d");
    mark(16, DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
    mark(32, CONNECTION, if marks & 128 > 0 { "close" } else { "keep-alive" });
    Answer(response, is_waited_for)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_the_rooms_say_is_the_same_bytes(
        said in prop::collection::vec((answers(), prop::sample::select(vec!["GET", "HEAD", "DELETE"])), 1..5),
    ) {
        let heads: String = said.iter().map(|(_, method)| format!("{method} /a HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        let script = || -> Script {
            let mut answers: Vec<_> = said.iter().map(|(answer, _)| *answer).collect();
            answers.reverse();
            let left = Mutex::new(answers);
            Arc::new(move |_| left.lock().pop().map_or_else(|| Answer(Response::new(Body::Empty), false), answer))
        };
        let bytes = heads + LAST;
        let (with, _) = run(talk(true, bytes.as_bytes(), &script()));
        let (without, _) = run(talk(false, bytes.as_bytes(), &script()));
        prop_assert_eq!(String::from_utf8_lossy(&with), String::from_utf8_lossy(&without));
    }
}

/// What is taken how, by a door that has just been asked.
fn taken(answer: fn() -> Answer) -> Option<Taken> {
    let connected = connected();
    let script: Script = Arc::new(move |_| answer());
    let (answers, handover) = (counted(&script, &connected), Handover::default());
    let mut early = Early::new(answers, Arc::clone(&handover));
    assert!(early.may_take(1, &connected) && !early.may_take(2, &connected));
    let taken = early.take(PLAIN.as_bytes(), &connected, &mut Context::from_waker(Waker::noop()));
    let is_handed_over = matches!(taken, Some(Taken::HandedOver(_)));
    assert_eq!(handover.lock().is_some(), is_handed_over);
    assert_eq!(early.may_take(2, &connected), !is_handed_over, "the next one waits for hyper, and for nothing else");
    taken
}

#[test]
fn only_what_is_at_hand_as_a_whole_is_answered_early() {
    let answered = |answer: fn() -> Answer| match taken(answer) {
        Some(Taken::Answered(head, body)) => Some([head, body.to_vec()].concat()),
        Some(Taken::HandedOver(stand_in)) => {
            assert_eq!(stand_in, b"GET / HTTP/1.1\r\n\r\n");
            None
        }
        Some(Taken::Begun) => panic!("it is hyper's connection"),
        None => panic!("hyper is to read it"),
    };
    assert!(answered(|| Answer(Response::new(Body::Empty), false)).is_some_and(|bytes| bytes.ends_with(b"\r\n\r\n")));
    for long in [false, true] {
        let short: fn() -> Answer = || Answer(Response::new(Body::from("text")), false);
        let bytes =
            answered(if long { || Answer(Response::new(Body::from("text".repeat(9000))), false) } else { short });
        assert!(bytes.is_some_and(|bytes| bytes.ends_with(b"text")));
    }
    assert_eq!(answered(|| Answer(Response::new(Body::from("text")), true)), None, "it comes in time");
    let closing = || {
        let mut response = Response::new(Body::from("text"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Answer(response, false)
    };
    assert_eq!(answered(closing), None);
    let pieces = || {
        let pieces = vec![Bytes::from("a"), Bytes::from("b")];
        Answer(Response::new(Body::boxed(Pieces { pieces, says_length: true, breaks: false })), false)
    };
    assert_eq!(answered(pieces), None);
}
