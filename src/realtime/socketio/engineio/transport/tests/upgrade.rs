//! From polling to a WebSocket: nothing lost, doubled or out of order, whatever happens meanwhile.

use std::cell::{Cell, RefCell};

use proptest::prelude::*;

use super::client::Wire;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_reader_is_released_and_the_rest_comes_by_the_new_way() {
    let client = Client::open(Config::default(), None);
    let wire = client.second();
    wire.say("2probe");
    let start = clock();
    let (read, probed) = tokio::join!(client.poll(), wire.hear());
    assert_eq!((read.as_deref(), probed.as_deref()), (Some("6"), Some("3probe")));
    assert_eq!(clock() - start, Duration::from_millis(100), "as the Node server does");
    client.post("4a").await.unwrap();
    assert!(!client.shared.claim(), "one at a time");
    wire.say("5");
    assert_eq!(wire.hear().await.as_deref(), Some("4a"), "what nobody had read");
    wire.say("4b");
    assert_eq!(wire.hear().await.as_deref(), Some("4b"));
    assert!(matches!(client.sessions.find(client.sid), Some(Lookup::Socket)));
    assert_eq!(client.poll().await, None, "the old way is closed");
    wire.say("1");
    assert_eq!(client.end().await, "transport close");
}

#[tokio::test(start_paused = true)]
async fn readers_are_released_as_long_as_it_takes() {
    let client = Client::open(Config::default(), None);
    let wire = client.second();
    wire.say("2probe");
    for _ in 0..20 {
        assert_eq!(client.poll().await.as_deref(), Some("6"));
    }
    assert_eq!(wire.hear().await.as_deref(), Some("3probe"));
}

#[tokio::test(start_paused = true)]
async fn one_that_still_reads_at_the_end_is_released() {
    let client = Client::open(Config::default(), None);
    let wire = client.second();
    let (read, ()) = tokio::join!(client.poll(), async {
        tokio::time::sleep(SECOND / 2).await;
        wire.say("5");
    });
    assert_eq!(read.as_deref(), Some("6"));
}

#[tokio::test(start_paused = true)]
async fn a_poll_sent_right_behind_the_upgrade_is_refused() {
    let client = Client::open(Config::default(), None);
    let wire = client.second();
    // It is read first, by another thread.
    let (read, ()) = tokio::join!(client.poll(), async { wire.say("5") });
    assert_eq!(read, None);
    assert!(client.shared.has_gone_over(), "by which its request knows the word for it");
}

#[tokio::test(start_paused = true)]
async fn end_during_upgrade_uses_the_transport_that_listens() {
    let client = Client::open(Config::default(), None);
    let wire = client.second();
    wire.say("2probe");
    let (read, probed) = tokio::join!(client.poll(), wire.hear());
    assert_eq!((read.as_deref(), probed.as_deref()), (Some("6"), Some("3probe")));
    client.close();
    client.post("4wakes it").await.unwrap();
    wire.say("5");
    assert_eq!(wire.hear().await.as_deref(), Some("4wakes it"));
    assert_eq!(wire.hear().await, None);
    assert_eq!(client.end().await, "forced close");

    let client = Client::open(Config::default(), None);
    let wire = client.second();
    wire.say("2probe");
    assert_eq!(wire.hear().await.as_deref(), Some("3probe"));
    client.close();
    client.post("4wakes it").await.unwrap();
    assert_eq!(client.poll().await.as_deref(), Some("4wakes it"), "it may still read");
    assert_eq!(client.poll().await.as_deref(), Some("1"));
    assert_eq!(client.end().await, "forced close");
}

#[tokio::test(start_paused = true)]
async fn a_second_transport_that_fails_is_dropped_and_polling_goes_on() {
    for last in ["4a", "1", "2", "nothing", "cut"] {
        let client = Client::open(Config::default(), None);
        let wire = client.second();
        wire.say("2probe");
        assert_eq!(wire.hear().await.as_deref(), Some("3probe"));
        if last == "cut" {
            wire.cut()
        } else {
            wire.say(last)
        }
        assert_eq!(wire.hear().await, None, "{last}");
        client.post("4still here").await.unwrap();
        assert_eq!(client.poll().await.as_deref(), Some("4still here"), "{last}");
        assert!(client.shared.claim(), "another may be tried");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_transport_that_says_nothing_is_dropped_in_time() {
    let client = Client::open(Config::default(), None);
    let start = clock();
    let wire = client.second();
    assert_eq!(wire.hear().await, None);
    assert_eq!(clock() - start, 10 * SECOND);
    client.post("4still here").await.unwrap();
    assert_eq!(client.poll().await.as_deref(), Some("4still here"));
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_goes_on_over_the_new_way() {
    let client = Client::open(Config::default(), None);
    assert_eq!(client.poll().await.as_deref(), Some("2"));
    let wire = client.second();
    wire.say("5");
    wire.say("3");
    assert_eq!(wire.hear().await.as_deref(), Some("2"));
    let asked = clock();
    assert_eq!(wire.hear().await, None);
    assert_eq!(clock() - asked, 20 * SECOND);
    assert_eq!(client.end().await, "ping timeout");
}

/// A client that upgrades as the stock one does, in the midst of traffic both ways: it posts and polls until it is
/// probed, then neither, then says `5`.
async fn under_traffic(pauses: Vec<u64>, before: usize) -> (Vec<String>, Vec<String>) {
    let client = Client::open(Config::default(), Some(Duration::from_millis(3)));
    let is_probed = Cell::new(false);
    let heard = RefCell::new(Vec::new());
    let take =
        |text: &str| heard.borrow_mut().extend(text.split('\u{1e}').filter(|text| *text != "6").map(str::to_owned));
    let pause = |number: usize| tokio::time::sleep(Duration::from_millis(pauses[number % pauses.len()]));
    let sent = Cell::new(0);
    let message = || {
        sent.set(sent.get() + 1);
        format!("4c{}", sent.get() - 1)
    };
    let polling = async {
        while !is_probed.get() {
            take(&client.poll().await.unwrap());
        }
    };
    let posting = async {
        while !is_probed.get() {
            let body = [message(), message()].join("\u{1e}");
            client.post(body).await.unwrap();
            pause(sent.get()).await;
        }
    };
    let probing = async {
        for number in 0..before {
            pause(number).await;
        }
        let wire = client.second();
        pause(1).await;
        wire.say("2probe");
        assert_eq!(wire.hear().await.as_deref(), Some("3probe"));
        pause(2).await;
        is_probed.set(true);
        wire
    };
    let ((), (), wire): ((), (), Wire) = tokio::join!(polling, posting, probing);
    wire.say("5");
    for number in 0..20 {
        wire.say(message());
        pause(number).await;
    }
    let last = format!("4c{}", sent.get() - 1);
    while heard.borrow().last() != Some(&last) {
        take(&wire.hear().await.unwrap());
    }
    let (own, echoed) = heard.into_inner().into_iter().partition(|text: &String| text.starts_with("4s"));
    (own, echoed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Pauses of nothing would let the clock of the tests stand still.
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(pauses in prop::collection::vec(1u64..8, 4..12), before in 0usize..12) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (own, echoed) = runtime.block_on(under_traffic(pauses, before));
        let numbered = |kind: &str, count: usize| (0..count).map(|number| format!("4{kind}{number}")).collect::<Vec<_>>();
        prop_assert_eq!(&own, &numbered("s", own.len()));
        prop_assert_eq!(&echoed, &numbered("c", echoed.len()));
        prop_assert!(echoed.len() >= 20);
    }
}
