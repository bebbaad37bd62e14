//! The words of one door to others, in no channel.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What one door tells others.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum DoorWord {
    /// Something for connections.
    Said(SaidWord),
    /// Something to be answered.
    Question(QuestionWord),
    /// A part of an answer.
    Answer(AnswerWord),
}

/// Something for connections.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct SaidWord {
    pub from: u64,
    pub to: Addressee,
    /// An utterance.
    pub said: Bytes,
}

/// The connections that are meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Addressee {
    Connections(Vec<u64>),
    User(Arc<str>),
    Everyone,
}

/// A question to doors.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct QuestionWord {
    pub from: u64,
    /// Its number at the door that asks; 0: it waits for no answer.
    pub number: u64,
    pub kind: String,
    pub body: Bytes,
}

/// What one door answers, or a part of it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerWord {
    pub from: u64,
    pub number: u64,
    /// `None`: it cannot answer, as it does not understand what is asked, or has too much to say.
    pub body: Option<Bytes>,
    /// Another part follows.
    pub goes_on: bool,
}
