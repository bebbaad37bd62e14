//! An HTTP server in place of the app, scripted by the test; for what a real Next.js app cannot be made to do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{Channel, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub type Body = BoxBody<Bytes, Infallible>;
pub type Request = http::Request<Incoming>;
pub type Response = http::Response<Body>;

/// Runs until dropped.
pub struct App {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl App {
    /// Answers every request with `answer`.
    pub async fn start<F, A>(answer: F) -> App
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        App::at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    /// The same at a certain address: an app that comes back.
    pub async fn at<F, A>(address: SocketAddr, answer: F) -> App
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                let service = service_fn(move |request: Request| {
                    let answered = if is_probe(&request) { Err(response(404, "")) } else { Ok(answer(request)) };
                    async move {
                        Ok::<_, Infallible>(match answered {
                            Ok(answered) => answered.await,
                            Err(probed) => probed,
                        })
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
                tasks.spawn(async move {
                    let _ = connection.await;
                });
            }
        });
        App { address, connections, task }
    }

    /// Says which path was asked for, and answers with what is `said` of it when the `gate` lets it.
    pub async fn gated(
        gate: &Arc<Semaphore>,
        said: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
    ) -> (App, UnboundedReceiver<String>) {
        let (reached, reaching) = unbounded_channel();
        let gate = Arc::clone(gate);
        let app = App::start(move |request| {
            let (gate, reached, said) = (Arc::clone(&gate), reached.clone(), said.clone());
            async move {
                let path = request.uri().path().to_owned();
                let answer = response(200, said(&path));
                reached.send(path).ok();
                gate.acquire().await.expect("the gate stays").forget();
                answer
            }
        })
        .await;
        (app, reaching)
    }

    /// Answers every request with 200 and `text`.
    pub async fn saying(text: &'static str) -> App {
        App::start(move |_| async move { response(200, text) }).await
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The section `[app]` that names it.
    pub fn config(&self) -> String {
        format!("[app]\nurl = \"http://{}\"\n", self.address)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the door asks to know whether the app answers; scripts see requests only.
fn is_probe(request: &Request) -> bool {
    request.method() == "HEAD" && request.uri().path() == "/_next/static/doorway"
}

/// What the test says next in an answer that is under way. Dropped, it ends the answer.
pub type Feed = http_body_util::channel::Sender<Bytes, Infallible>;

/// An answer that begins now and goes on as the test feeds it.
pub fn streamed(status: u16) -> (Response, Feed) {
    let (feed, body) = Channel::new(16);
    let mut response = Response::new(BoxBody::new(body));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    (response, feed)
}

/// A whole answer.
pub fn response(status: u16, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(BoxBody::new(Full::new(text.into())));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
}
