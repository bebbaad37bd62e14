//! Promise: a channel knows who is in it, says who comes and goes, and does not take a page reload for a farewell.

use crate::harness::door;
use crate::harness::socket::{Socket, connect};

fn config(grace: &str) -> String {
    format!(
        "[[realtime.channel]]\nmatch = \"room\"\npresence = \"all\"\npresence_grace = \"{grace}\"\n\
         [realtime.plain]\necho = false\n"
    )
}

/// The members that a newcomer is told of.
async fn members(socket: &mut Socket) -> Vec<String> {
    let told = socket.hear_json().await;
    assert_eq!(told["type"], "presence", "{told}");
    let members = told["members"].as_array().unwrap().iter();
    members.map(|member| member["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn who_comes_and_goes_is_told_to_those_inside() {
    let door = door().config(config("0s")).start();
    let mut alice = connect(&door, "/api/ws/room").await;
    assert_eq!(members(&mut alice).await.len(), 1);
    let mut bob = connect(&door, "/api/ws/room").await;
    let both = members(&mut bob).await;
    assert_eq!(both.len(), 2);
    let joined = alice.hear_json().await;
    assert_eq!(joined["type"], "join");
    assert!(both.contains(&joined["member"]["id"].as_str().unwrap().to_owned()), "{joined} {both:?}");
    bob.close(1000).await;
    let left = alice.hear_json().await;
    assert_eq!((&left["type"], &left["member"]), (&"leave".into(), &joined["member"]));
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_after_the_grace() {
    let door = door().config(config("300ms")).start();
    let mut alice = connect(&door, "/api/ws/room").await;
    members(&mut alice).await;
    let bob = connect(&door, "/api/ws/room").await;
    assert_eq!(alice.hear_json().await["type"], "join");
    drop(bob);
    assert_eq!(alice.hear_json().await["type"], "leave");
}

#[tokio::test]
async fn within_the_grace_nothing_is_said() {
    let door = door().config(config("1h")).start();
    let mut alice = connect(&door, "/api/ws/room").await;
    members(&mut alice).await;
    let bob = connect(&door, "/api/ws/room").await;
    assert_eq!(alice.hear_json().await["type"], "join");
    drop(bob);
    door.wait_for_log(|line| line["message"] == "socket closed");
    alice.is_quiet().await;
    let mut carol = connect(&door, "/api/ws/room").await;
    assert_eq!(members(&mut carol).await.len(), 3, "he is still counted");
}

#[tokio::test]
async fn elsewhere_there_is_no_presence() {
    let door = door().config(config("0s")).start();
    let mut alice = connect(&door, "/api/ws/other").await;
    let _bob = connect(&door, "/api/ws/other").await;
    alice.is_quiet().await;
}
