//! Shares: how much each gets, who waits, and what is left behind.

use super::*;

fn holder(number: u8) -> Holder {
    Holder::of([192, 0, 2, number].into())
}

/// As many as `holder` gets.
fn all(shares: &Arc<Shares>, holder: Holder) -> Vec<Share> {
    std::iter::from_fn(|| shares.try_take(holder)).collect()
}

fn nothing_is_left(shares: &Arc<Shares>) {
    assert_eq!(shares.taken(), 0);
    assert!(shares.held.iter().all(|shard| shard.lock().is_empty()));
    let line = shares.line.lock();
    assert_eq!((line.len(), line.holders()), (0, 0));
}

#[test]
fn each_comes_to_no_more_than_it_leaves() {
    for (most, parts) in [(1, vec![1]), (2, vec![1, 1]), (3, vec![1, 1]), (4, vec![2, 1]), (100, vec![50, 25, 12, 6])] {
        let shares = Shares::new("test", most);
        let mut held = Vec::new();
        for (number, part) in (0..).zip(parts) {
            held.push(all(&shares, holder(number)));
            assert_eq!(held.last().unwrap().len(), part, "{number} of {most}");
        }
        drop(held);
        nothing_is_left(&shares);
    }
}

#[test]
fn many_who_hold_one_fill_it() {
    let shares = Shares::new("test", 100);
    let held: Vec<_> = (0..100).map(|number| shares.try_take(holder(number)).unwrap()).collect();
    assert!(shares.try_take(holder(200)).is_none(), "there is none left");
    assert!(shares.try_take(Holder::House).is_some(), "the door is never held up");
    drop(held);
    nothing_is_left(&shares);
}

#[tokio::test]
async fn one_who_waits_for_his_own_holds_nobody_up() {
    let shares = Shares::new("test", 4);
    let mut greedy = all(&shares, holder(1));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let shares = Arc::clone(&shares);
            tokio::spawn(async move { shares.take(holder(1)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let other = shares.take(holder(2)).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    drop(other);
    greedy.clear();
    for waiting in waiting {
        drop(waiting.await.unwrap());
    }
    nothing_is_left(&shares);
}

#[tokio::test]
async fn holders_take_turns() {
    let shares = Shares::new("test", 1);
    let first = shares.try_take(holder(0)).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for number in [1, 1, 1, 2] {
        let (shares, order) = (Arc::clone(&shares), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let share = shares.take(holder(number)).await;
            order.lock().push(number);
            drop(share);
        }));
        tokio::task::yield_now().await;
    }
    drop(first);
    for waiting in waiting {
        waiting.await.unwrap();
    }
    assert_eq!(*order.lock(), [1, 2, 1, 1]);
    nothing_is_left(&shares);
}

#[tokio::test]
async fn who_gives_up_leaves_nothing_behind() {
    let shares = Shares::new("test", 1);
    let first = shares.try_take(holder(0)).unwrap();
    let waiting = |number| {
        let shares = Arc::clone(&shares);
        tokio::spawn(async move { shares.take(holder(number)).await })
    };
    let (impatient, patient) = (waiting(1), waiting(2));
    tokio::task::yield_now().await;
    impatient.abort();
    assert!(impatient.await.is_err());
    drop(first);
    drop(patient.await.unwrap());
    nothing_is_left(&shares);
}

#[tokio::test]
async fn a_higher_limit_serves_those_who_wait() {
    let shares = Shares::new("test", 1);
    let _first = shares.try_take(holder(0)).unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let shares = Arc::clone(&shares);
            tokio::spawn(async move { shares.take(holder(1)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    shares.limit(8);
    let mut held = Vec::new();
    for waiting in waiting {
        held.push(waiting.await.unwrap());
    }
    assert_eq!(shares.taken(), 4);
}
