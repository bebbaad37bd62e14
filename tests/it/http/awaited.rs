//! Promise: while a client waits for one answer it may ask for more; all are answered in the order in which it asked, and the
//! app is asked one after the other.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, mpsc};

use crate::harness::{App, Kept, door, response};

/// An app that says which request has reached it, and answers each when it is let.
async fn gated() -> (App, mpsc::UnboundedReceiver<String>, Arc<Semaphore>) {
    let (reached, reaching) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let app = App::start(move |request| {
        let (wait, reached) = (Arc::clone(&wait), reached.clone());
        async move {
            let path = request.uri().path().to_owned();
            reached.send(path.clone()).ok();
            wait.acquire().await.expect("the gate stays").forget();
            response(200, format!("the app's {path}"))
        }
    })
    .await;
    (app, reaching, gate)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n\r\n")
}

#[tokio::test]
async fn what_is_asked_meanwhile_waits_for_its_turn() {
    let (app, mut reaching, gate) = gated().await;
    let door = door().config(app.config()).start();
    let mut kept = Kept::to(&door).await;
    kept.0.set_nodelay(true).unwrap();
    let post = "POST /posted HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\n\r\n";
    // Each way: with nothing but plain ones before it, and behind one that has a body.
    for round in 0..3 {
        let path = |name: &str| format!("/{name}{round}");
        kept.0.write_all(get(&path("first")).as_bytes()).await.unwrap();
        assert_eq!(reaching.recv().await, Some(path("first")));
        let second = get(&path("second"));
        let (begin, end) = second.split_at(20);
        // In pieces that are read apart: the one before is not answered yet.
        for piece in [begin, end, &get(&path("third")), post, "hello"] {
            kept.0.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(reaching.try_recv().is_err(), "the app is asked one after the other");
        for (number, expected) in
            [path("first"), path("second"), path("third"), "/posted".to_owned()].iter().enumerate()
        {
            gate.add_permits(1);
            let answer = String::from_utf8(kept.read(false).await).unwrap();
            assert!(answer.ends_with(&format!("the app's {expected}")), "{number} of round {round}: {answer}");
            if let Some(next) = [path("second"), path("third"), "/posted".to_owned()].get(number) {
                assert_eq!(reaching.recv().await.as_ref(), Some(next));
            }
        }
    }
}
