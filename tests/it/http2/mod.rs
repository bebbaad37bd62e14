//! HTTP/2: what is promised, a file each.
//!
//! - `answers`: over HTTP/2 an answer says what it says over HTTP/1.1, also where it breaks off.
//! - `floods`: a client of HTTP/2 that makes work and moves nothing is sent away, and others do not notice.
//! - `priorities`: what is urgent does not wait behind what is not (RFC 9218), at first or as a client says later, nothing
//!   is forgotten for it, and what has no end starves nobody.
//! - `requests`: over HTTP/2 a request has one meaning too, and reaches the app in the same form as over HTTP/1.1.
//! - `windows`: over a short way a request's body may send ahead no more than it needs, and the keys are the most it
//!   ever may.
//! - `websocket`: a WebSocket opens over HTTP/2 as over HTTP/1.1 (RFC 8441): to the hub, and through a tunnel to the
//!   app.

mod answers;
mod floods;
mod priorities;
mod requests;
mod websocket;
mod windows;
