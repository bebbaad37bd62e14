//! What a client of Pusher Channels may say: it is read or refused, and names that are let through stay valid.

#![no_main]

use doorway::realtime::dialect::pusher::{Said, name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Said::read(text) {
        Ok(Said::Client { event, .. }) => assert!(event.starts_with("client-")),
        Ok(Said::Subscribe(wish)) => {
            let _ = name::Kind::of(&wish.channel);
            if name::is_valid(&wish.channel) {
                assert!(!wish.channel.chars().any(char::is_control));
            }
        }
        Ok(_) => assert!(text.contains("event")),
        Err(malformed) => assert!(!malformed.0.is_empty()),
    }
    if let Some(id) = name::connection(text) {
        assert_eq!(name::connection(&name::socket_id(id)), Some(id));
    }
});
