//! A question goes to many, and each answers once.

use super::*;
use crate::realtime::hub::AckReply;
use crate::realtime::vocabulary::Extras;

#[test]
fn question_takes_answers_before_all_were_asked() {
    let world = World::new(|config| (config.max_questions, config.max_answers) = (1, Size(400)));
    let answering = Encoding::new(Asked);
    let mut readers = [world.reader(), world.reader(), world.reader()];
    for (reader, encoding) in readers.iter_mut().zip([&answering, &answering, &world.lines]) {
        reader.client().subscribe(&to("room"), encoding, Authority::Client, world.now).unwrap();
    }
    let ids: Vec<_> = readers.iter_mut().map(|reader| reader.client().id()).collect();
    let given =
        |text: &str| Some(AckReply { alias: None, data: Payload::Json(text.into()), extras: Extras::default() });
    let asking = world.hub.ask(publish("room", "?"), world.now).unwrap();
    assert_eq!(world.hub.ask(publish("room", "?"), world.now).err(), Some(Refusal::Unavailable));
    world.hub.answer(1, ids[2], given("\"I cannot be asked\""));
    world.hub.answer(2, ids[0], given("\"of another question\""));
    world.hub.answer(1, ids[0], given("1"));
    world.hub.answer(1, ids[0], given("2"));
    world.hub.answer(1, ids[1], given(&format!("\"{}\"", "x".repeat(400))));
    let answers = asking.close();
    assert_eq!(
        answers.given.iter().map(|(id, given)| (*id, &given.data)).collect::<Vec<_>>(),
        [(ids[0], &Payload::Json("1".into()))]
    );
    assert_eq!(answers.missing, [ids[1]], "its answer is too long");
    let mut asking = world.hub.ask(publish("room", "?"), world.now).unwrap();
    world.hub.answer(2, ids[0], given("1"));
    let mut answered = Box::pin(asking.answered());
    let mut context = Context::from_waker(Waker::noop());
    assert!(answered.as_mut().poll(&mut context).is_pending());
    world.hub.answer(2, ids[1], None);
    assert!(answered.as_mut().poll(&mut context).is_ready(), "whoever cannot answer is not waited for");
    drop(answered);
    let answers = asking.close();
    assert_eq!((answers.given.len(), answers.missing.len()), (1, 0));
    assert_eq!(
        world.hub.history(&name("room"), Since::Start, 9, world.now).map(|past| past.messages.len()),
        Some(0),
        "a question is not kept"
    );
}

/// Clients that can answer.
pub(super) struct Asked;

impl Encode for Asked {
    fn encode(&self, _: &Event) -> Encoded {
        Encoded::PerClient
    }

    fn answers(&self) -> bool {
        true
    }
}
