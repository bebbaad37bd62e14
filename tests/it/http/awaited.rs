//! Promise: while a client waits for one answer it may ask for more; all are answered in the order in which it asked, and the
//! app is asked one after the other.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::harness::{App, Kept, door};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n\r\n")
}

#[tokio::test]
async fn what_is_asked_meanwhile_waits_for_its_turn() {
    let gate = Arc::new(Semaphore::new(0));
    let (app, mut reaching) = App::gated(&gate, |path| format!("the app's {path}")).await;
    let door = door().config(app.config()).start();
    let mut kept = Kept::to(&door).await;
    kept.0.set_nodelay(true).unwrap();
    let post = "POST /posted HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\n\r\n";
    // Each way: with nothing but plain ones before it, and behind one that has a body.
    for round in 0..3 {
        let [first, second, third] = ["first", "second", "third"].map(|name| format!("/{name}{round}"));
        kept.0.write_all(get(&first).as_bytes()).await.unwrap();
        assert_eq!(reaching.recv().await.as_ref(), Some(&first));
        let turns = [first, second, third, "/posted".to_owned()];
        let second = get(&turns[1]);
        let (begin, end) = second.split_at(20);
        // In pieces that are read apart: the one before is not answered yet.
        for piece in [begin, end, &get(&turns[2]), post, "hello"] {
            kept.0.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(reaching.try_recv().is_err(), "the app is asked one after the other");
        for (number, expected) in turns.iter().enumerate() {
            gate.add_permits(1);
            let answer = String::from_utf8(kept.read(false).await).unwrap();
            assert!(answer.ends_with(&format!("the app's {expected}")), "{number} of round {round}: {answer}");
            if let Some(next) = turns.get(number + 1) {
                assert_eq!(reaching.recv().await.as_ref(), Some(next));
            }
        }
    }
}
