//! The realtime hub and its plain clients: what is promised, a file each.
//!
//! - `callbacks`: the app is asked at its own route before a client is let in, heard or told, and nobody else can
//!   pretend to be the one who asks.
//! - `drain`: when the door stops, sockets are closed with 1001, spread over the time there is, and none is cut.
//! - `ends`: an end that the hub, the app or an operator has decided comes in time, whatever the client takes or says.
//! - `entrance`: who may not open a socket is told why, as RFC 6455 and RFC 9110 say; who may, can.
//! - `jitter`: clients that lose their connection again and again end with every message, once and in order.
//! - `javascript`: what is JSON to JavaScript is JSON here, whoever sends it: no half of an emoji ends a connection.
//! - `killed`: sessions that are torn off and an app that misbehaves leave the hub as it was: nobody stays behind,
//!   every place is given back, and numbers and log say what happened.
//! - `plain`: the WebSocket app that a tutorial gives you works on `/api/ws` without a server of its own.
//! - `presence`: a channel knows who is in it, says who comes and goes, and does not take a page reload for a
//!   farewell.
//! - `questions`: what a handler asks of clients holds no callback, a handler that may still be at work is not run
//!   again, and what goes wrong with one client's message is not held against the others.
//! - `replay`: who comes back with its position gets exactly what it missed, in order, once, or is told that it
//!   cannot.
//! - `rooms`: where the app is asked, or a token is required, a channel that no section names is the app's, whatever
//!   a client speaks; and what the app agrees to is held against the policies beside.
//! - `slow`: a slow reader holds nobody back; what becomes of it is the channel's policy, and is counted.
//! - `storm`: ten thousand open sockets cost little, and a storm of messages leaves memory bounded.
//! - `streams`: a channel can be listened to with a stock `EventSource`, and read with a stock `fetch`.
//! - `survival`: the app is killed, built anew and replaced while a thousand sockets chat through its callback; no
//!   socket drops, and no message is lost, doubled or out of its turn.
//! - `vanished`: a client that vanishes without a word is noticed, however it listens; one that is there and reads
//!   nothing for a while stays.
//! - `websocket`: on the wire it is RFC 6455 to the letter, and each client hears why it is closed.

mod callbacks;
mod drain;
mod ends;
mod entrance;
mod jitter;
mod javascript;
mod killed;
mod plain;
mod presence;
mod questions;
mod replay;
mod rooms;
mod slow;
mod storm;
mod streams;
mod survival;
mod vanished;
mod websocket;
