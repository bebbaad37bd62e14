//! How a session ends, in the words of the Node server.

use super::*;

fn quick() -> Config {
    Config { ping_interval: 25 * SECOND, ping_timeout: 20 * SECOND, ..Config::default() }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_gone() {
    let client = Client::open(quick(), None);
    let start = clock();
    assert_eq!(client.poll().await.as_deref(), Some("2"));
    assert_eq!(clock() - start, 25 * SECOND);
    assert_eq!(client.poll().await.as_deref(), Some("1"), "whoever reads is told");
    assert_eq!(clock() - start, 45 * SECOND);
    assert_eq!(client.end().await, "ping timeout");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_stays() {
    let client = Client::open(quick(), None);
    for _ in 0..10 {
        assert_eq!(client.poll().await.as_deref(), Some("2"));
        client.post("3").await.unwrap();
    }
    client.close();
    client.post("4wakes it").await.unwrap();
    // In a body of its own: the stock client drops what it read together with the end.
    assert_eq!(client.poll().await.as_deref(), Some("4wakes it"));
    assert_eq!(client.poll().await.as_deref(), Some("1"));
    assert_eq!(client.end().await, "forced close");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_comes_back_to_goes_away() {
    let client = Client::open(quick(), None);
    let start = clock();
    assert_eq!(client.end().await, "ping timeout");
    assert_eq!(clock() - start, 45 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_releases_its_own_reader() {
    let client = Client::open(quick(), None);
    let (read, posted) = tokio::join!(client.poll(), client.post("4a\u{1e}1\u{1e}4never heard"));
    assert_eq!((read.as_deref(), posted), (Some("4a\u{1e}6"), Ok(())));
    assert_eq!(client.end().await, "transport close");
}

#[tokio::test(start_paused = true)]
async fn a_poll_sent_with_the_close_packet_is_answered() {
    for (late, expected) in [(CLOSE_WAITS / 2, Some("6")), (CLOSE_WAITS * 2, None)] {
        let client = Client::open(quick(), None);
        let (read, posted) = tokio::join!(
            async {
                tokio::time::sleep(late).await;
                client.poll().await
            },
            client.post("1")
        );
        assert_eq!((read.as_deref(), posted), (expected, Ok(())), "{late:?}");
        assert_eq!(client.poll().await, None, "it is over");
        assert_eq!(client.end().await, "transport close");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_at_the_ping_deadline_comes_too_late() {
    let client = Client::open(quick(), None);
    tokio::time::sleep(45 * SECOND).await;
    assert_eq!(client.poll().await, None);
    assert_eq!(client.end().await, "ping timeout");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_packet_ends_it() {
    for body in ["", "7", "abc", "b*", "4a\u{1e}\u{1e}4b", "4a\u{1e}9"] {
        let client = Client::open(quick(), None);
        let (read, posted) = tokio::join!(client.poll(), client.post(body));
        assert!(posted.is_err(), "{body:?}");
        assert!(matches!(read.as_deref(), Some("1" | "4a\u{1e}1")), "{body:?}: {read:?}");
        assert_eq!(client.end().await, "parse error", "{body:?}");
    }
    let client = Client::open(Config { max_packets: 2, ..quick() }, None);
    client.post("4a\u{1e}4b").await.unwrap();
    assert!(client.post("4a\u{1e}4b\u{1e}4c").await.is_err());
    assert_eq!(client.end().await, "parse error");
}

#[tokio::test(start_paused = true)]
async fn a_client_must_not_ping() {
    let client = Client::open(quick(), None);
    assert!(client.post("2").await.is_err());
    assert_eq!(client.end().await, "transport error");
}

#[tokio::test(start_paused = true)]
async fn packets_that_mean_nothing_here_are_passed_over() {
    let client = Client::open(quick(), None);
    client.post("0{}\u{1e}5\u{1e}6\u{1e}3\u{1e}3probe\u{1e}4a").await.unwrap();
    assert_eq!(client.poll().await.as_deref(), Some("4a"));
}

#[tokio::test(start_paused = true)]
async fn requests_that_misbehave_end_it() {
    let client = Client::open(quick(), None);
    let (first, second) = tokio::join!(client.poll(), client.poll());
    assert_eq!((first.as_deref(), second), (Some("1"), None));
    assert_eq!(client.end().await, "transport error");
    let client = Client::open(quick(), None);
    drop(client.shared.exchange.read().unwrap());
    assert_eq!(client.end().await, "transport error");
}
