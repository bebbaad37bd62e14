//! A session of Engine.IO and requests that do as they like: reads, posts, broken-off ones, second transports, time.
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

#![no_main]

#[path = "../laws/engine_session.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
