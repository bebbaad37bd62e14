//! One connection: HTTP/1.1 or HTTP/2 by what the handshake agreed on, until it ends or the door drains.

pub mod lazy_timer;
pub mod http1;
pub mod http2;

mod carrying;
mod connected;
mod facts;
mod forwarded;
mod from_client;
mod http10;
mod interim;
mod priority;
mod stall;
pub mod switch;
mod turns;
mod unread;
mod updates;
mod upload;
mod vanished;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::{HttpService, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tower::Service;

pub use connected::{Connected, LiveStream};
pub use upload::BodyOutcome;

use http10::Http10;
use priority::{AnswerSays, Said};
use turns::Turn;
use unread::Progress;

use super::body::BodyError;
use super::{Body, Refusal, Request, Response, Settings};
use crate::drain::Signal;
use crate::listen::{Peer, Stream};

/// What hyper reads from and writes to, and gives back when a request of HTTP/1.1 is upgraded. Boxed: it goes from hand to
/// hand.
pub type Io = TokioIo<Box<http1::Guarded>>;

/// Serves every request of one connection with `service`; the caller holds the drain guard.
pub async fn serve<S>(stream: Stream, peer: Peer, service: S, settings: Arc<Settings>, drain: Signal)
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin + Send> + Send + 'static,
{
    let is_http2 = peer.tls.as_ref().is_some_and(|session| session.is_http2);
    let connected = Arc::new(Connected::new(peer, settings));
    let onion = Arc::new(Onion { service: Mutex::new(service), connected: Arc::clone(&connected) });
    if is_http2 {
        let service = service_fn(move |request: http::Request<Incoming>| onion.begin(request.map(Body::Incoming)));
        // Apart: a connection of HTTP/1.1 is to have no room for it.
        Box::pin(http2::serve(stream, connected, service, drain)).await;
    } else {
        http1::serve(stream, connected, onion, drain).await;
    }
}

/// What serves hyper's requests, for both versions.
pub trait Serves: HttpService<Incoming, ResBody = Outgoing, Error = Infallible, Future: Send + 'static> + Send {}

impl<S> Serves for S where
    S: HttpService<Incoming, ResBody = Outgoing, Error = Infallible, Future: Send + 'static> + Send
{
}

/// An answer that comes in time.
pub type Begun = Pin<Box<dyn Future<Output = Result<http::Response<Outgoing>, Infallible>> + Send>>;

/// One that is there already.
pub fn at_hand(response: http::Response<Outgoing>) -> Begun {
    Box::pin(std::future::ready(Ok(response)))
}

/// What answers the requests of one connection.
pub trait Answers: Send + Sync {
    /// Begins to answer.
    fn begin(&self, request: http::Request<Body>) -> Begun;

    /// Begins to answer, and gives the answer where it is at hand.
    fn ask(&self, request: http::Request<Body>, context: &mut Context<'_>) -> Result<http::Response<Outgoing>, Begun>;
}

/// The layers with the rooms, for one connection.
struct Onion<S> {
    service: Mutex<S>,
    connected: Arc<Connected>,
}

impl<S> Onion<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin + Send> + Send + 'static,
{
    fn answer(&self, request: http::Request<Body>) -> OnionAnswer<S::Future> {
        let shared = &self.connected;
        let under_way = UnderWay(Arc::clone(shared));
        let http10 = Http10::of(&request);
        let is_http2 = request.version() == http::Version::HTTP_2;
        let asked = is_http2.then(|| (shared.turns.handed_over(), Said::in_headers(request.headers())));
        let (request, read) = admit(request, shared);
        // Over HTTP/2 a stream ends without its connection.
        let read = read.filter(|_| !is_http2);
        let answer = Step::Asked(self.service.lock().call(request));
        OnionAnswer { answer, http10, asked, read, under_way: Some(under_way) }
    }
}

impl<S> Answers for Onion<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin + Send> + Send + 'static,
{
    fn begin(&self, request: http::Request<Body>) -> Begun {
        Box::pin(self.answer(request))
    }

    fn ask(&self, request: http::Request<Body>, context: &mut Context<'_>) -> Result<http::Response<Outgoing>, Begun> {
        let mut answer = self.answer(request);
        match Pin::new(&mut answer).poll(context) {
            Poll::Ready(Ok(response)) => Ok(response),
            Poll::Pending => Err(Box::pin(answer)),
        }
    }
}

/// How far an answer is.
enum Step<F> {
    Asked(F),
    /// It is there, and goes when what was not read of its request is seen to.
    Given(Response),
    Gone,
}

/// The onion's answer to one request, on its way to the library.
struct OnionAnswer<F> {
    answer: Step<F>,
    http10: Option<Http10>,
    /// HTTP/2: the stream, and what was said of its priority.
    asked: Option<(u32, Said)>,
    /// HTTP/1.1: how far the request's body is read.
    read: Option<Progress>,
    under_way: Option<UnderWay>,
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for OnionAnswer<F> {
    type Output = Result<http::Response<Outgoing>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Step::Asked(asked) = &mut this.answer {
            let Ok(answer) = ready!(Pin::new(asked).poll(context));
            // What was asked is dropped here, with what it did not read of the request.
            this.answer = Step::Given(answer);
        }
        let is_kept = match &this.read {
            Some(read) => ready!(read.poll_clear(context)),
            None => true,
        };
        // Whoever asks again after the answer gets none.
        let Step::Given(mut answer) = std::mem::replace(&mut this.answer, Step::Gone) else { return Poll::Pending };
        let Some(under_way) = this.under_way.take() else { return Poll::Pending };
        match this.http10 {
            Some(http10) if is_kept => http10.close_where_needed(&mut answer),
            Some(http10) => http10.close(&mut answer),
            None if is_kept || answer.status() == StatusCode::SWITCHING_PROTOCOLS => {}
            None => drop(answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"))),
        }
        let says = |(stream, said)| Turn::new(stream, said, AnswerSays::in_headers(answer.headers()));
        let turn = this.asked.take().map(says);
        Poll::Ready(Ok(answer.map(|body| Outgoing {
            body,
            is_begun: false,
            held: None,
            turn,
            under_way,
            broken: None,
        })))
    }
}

/// Makes a request one of the house: with what the connection knows of it. And how far its body is read, if it has one.
fn admit(mut request: http::Request<Body>, connected: &Arc<Connected>) -> (Request, Option<Progress>) {
    let number = connected.ask();
    let refusal = connected.refusal(number);
    if request.version() == http::Version::HTTP_10 {
        connected.expect_http10();
    }
    // hyper takes any `Upgrade` for one; the guard has looked closer.
    if request.version() < http::Version::HTTP_2 && !connected.is_upgrade(number) {
        request.extensions_mut().remove::<OnUpgrade>();
    }
    let found = facts::find(&mut request, connected);
    from_client::offer(&mut request, connected, number);
    let read = upload::limit(&mut request, &connected.settings.http);
    let extensions = request.extensions_mut();
    if let Some(refusal) = refusal.or(found.doubt) {
        extensions.insert::<Refusal>(refusal);
    }
    extensions.insert(found.facts);
    extensions.insert(Arc::clone(connected));
    (request, read)
}

/// Counts an answer as under way until it is dropped.
struct UnderWay(Arc<Connected>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.answer();
    }
}

/// An answer's body on its way out.
pub struct Outgoing {
    body: Body,
    /// The library has asked for a piece of it.
    is_begun: bool,
    /// HTTP/2: a piece of it that waits for its turn.
    held: Option<Bytes>,
    /// HTTP/2: its place among those that wait.
    turn: Option<Turn>,
    under_way: UnderWay,
    broken: Option<Broken>,
}

/// An answer that broke off, which is not said yet.
struct Broken {
    why: BodyError,
    /// Resolves when what there was of it is written.
    written: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// HTTP/2: how long what was sent of an answer that broke off may take to reach the socket. A client that takes nothing does not
/// learn what came before the end.
const DELIVERY: Duration = Duration::from_secs(5);

impl Outgoing {
    /// The first piece, for whoever writes it himself: it is never a blank one.
    pub fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    /// What was taken off goes first again.
    pub fn put_back(&mut self, first: Result<Frame<Bytes>, BodyError>) {
        self.body.put_back(first);
    }

    /// An answer breaks off: the library drops for it what it has not written yet, so it is told when all is written.
    fn break_off(&mut self, error: BodyError) {
        let timeout = if self.turn.is_some() { DELIVERY } else { self.under_way.0.settings.http.write_timeout };
        let written = Box::pin(self.under_way.0.all_written(timeout));
        self.broken = Some(Broken { why: error, written });
    }

    /// Resolves with why it broke off, when what there was of it is written.
    fn poll_broken(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(broken) = &mut self.broken {
            ready!(broken.written.as_mut().poll(context));
        }
        Poll::Ready(self.broken.take().map(|broken| Err(broken.why)))
    }

    /// What of `frame` may go now; the rest is held. Trailers and what ends a broken answer have no weight.
    fn in_turn(&mut self, frame: Frame<Bytes>, context: &Context<'_>) -> Poll<Frame<Bytes>> {
        let mut data = match frame.into_data() {
            Ok(data) if !data.is_empty() => data,
            Ok(empty) => return Poll::Ready(Frame::data(empty)),
            Err(trailers) => return Poll::Ready(trailers),
        };
        let Some(turn) = &mut self.turn else { return Poll::Ready(Frame::data(data)) };
        match self.under_way.0.turns.poll_take(turn, data.len(), context) {
            Poll::Ready(length) => {
                let piece = data.split_to(length);
                self.held = Some(data).filter(|rest| !rest.is_empty());
                Poll::Ready(Frame::data(piece))
            }
            Poll::Pending => {
                self.held = Some(data);
                Poll::Pending
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(turn) = &self.turn {
            self.under_way.0.turns.leave(turn);
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.poll_broken(context);
        }
        if this.turn.is_none() {
            let connected = &this.under_way.0;
            if !std::mem::replace(&mut this.is_begun, true) && connected.may_carry() {
                connected.carrying.carry_answer(&mut this.body);
            }
            return match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Err(error)) => {
                    this.break_off(error);
                    this.poll_broken(context)
                }
                frame => Poll::Ready(frame),
            };
        }
        let frame = match this.held.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Pin::new(&mut this.body).poll_frame(context),
        };
        let frame = match frame {
            Poll::Ready(Some(Ok(frame))) => this.in_turn(frame, context).map(|frame| Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                this.break_off(error);
                // Over HTTP/2 the end comes as a reset. When this one is written, so is all of its stream before it.
                Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
            }
            frame => frame,
        };
        if frame.is_pending()
            && let Some(turn) = &mut this.turn
        {
            this.under_way.0.turns.pass(turn);
        }
        http2::handed_over(matches!(frame, Poll::Ready(Some(Ok(_)))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
