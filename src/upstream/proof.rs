//! Whether the process that is asked has proved that it says what it declares old.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// More processes of the app are not side by side.
const MAX_READY: usize = 8;

/// What processes of the app have said of themselves.
#[derive(Debug, Default)]
pub struct Proof {
    /// Processes that have said so, the newest last.
    ready: Mutex<Vec<i32>>,
    /// The process that is asked.
    asked: AtomicI32,
    /// It is one of those.
    is_given: AtomicBool,
    /// Rung when that may be otherwise, or another process is asked.
    news: Notify,
}

impl Proof {
    /// `process` has said so.
    pub fn note(&self, process: i32) {
        let mut ready = self.ready.lock();
        if ready.len() == MAX_READY {
            ready.remove(0);
        }
        ready.push(process);
        drop(ready);
        self.look();
    }

    /// One of them may not say all any more: none has said so.
    pub fn withdraw(&self) {
        self.ready.lock().clear();
        self.look();
    }

    /// It is `process` that is asked from now on.
    pub fn ask(&self, process: i32) {
        self.asked.store(process, Ordering::SeqCst);
        self.look();
    }

    fn look(&self) {
        let asked = self.asked.load(Ordering::SeqCst);
        self.is_given.store(self.ready.lock().contains(&asked), Ordering::SeqCst);
        self.news.notify_one();
    }

    pub fn is_given(&self) -> bool {
        self.is_given.load(Ordering::SeqCst)
    }

    /// All else about the process that is asked is known by now.
    pub fn settle(&self) {
        self.news.notify_one();
    }

    /// Waits until it may be otherwise, or another process is asked. For one who waits.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_process_that_is_asked() {
        let proof = Proof::default();
        proof.note(7);
        assert!(!proof.is_given(), "nobody is asked");
        for (process, is_given) in [(8, false), (7, true), (9, false)] {
            proof.ask(process);
            assert_eq!(proof.is_given(), is_given, "{process}");
        }
        proof.ask(7);
        proof.withdraw();
        assert!(!proof.is_given());
        proof.ask(9);
        (10..30).for_each(|process| proof.note(process));
        proof.note(9);
        assert!(proof.is_given());
        proof.ask(7);
        assert!(!proof.is_given(), "long ago");
    }
}
