//! Requests and responses over HTTP/1.1: what is promised, a file each.
//!
//! - `access`: every request leaves one line in the log and one count in the numbers, and no secret in either.
//! - `awaited`: what a client asks for while it waits for an answer has its turn behind it.
//! - `bodies`: a request's body is whole, in time and within its limit, or the app never takes it for a whole one.
//! - `bytes`: bytes that could be read in two ways never reach the app. Each row of HTTP/1.1, byte by byte on a
//!   socket.
//! - `canonical`: what reaches the app is one request in one form, whatever form the client chose.
//! - `carried`: a long body that nobody looks into goes from socket to socket within the kernel, and nothing else is
//!   different.
//! - `early`: what is answered as soon as it is read is answered as by the way that all else takes: bytes, log, numbers.
//! - `forwarded`: what the app hears of a client is what the door knows of it; only a trusted proxy may know better.
//! - `heads`: HEAD is answered as GET is, length and all, but for the content: by whoever answers, over HTTP/1.1 and
//!   HTTP/2.
//! - `http10`: clients of HTTP/1.0 are served, as health checks of balancers are, and told when the connection closes.
//! - `paths`: a rule that chooses by path cannot be read around, however the path is spelt; the app gets it in a
//!   spelling that means to it what it meant to the door.
//! - `proxy`: what is not the hub's goes to the app.
//! - `timeouts`: a client that is slow, idle or deaf does not hold the door for longer than `[http]` says.
//! - `upgrades`: an upgrade has no body, nothing comes before its answer, and what is no upgrade is not treated as
//!   one.

mod access;
mod awaited;
mod bodies;
mod bytes;
mod canonical;
mod carried;
mod early;
mod forwarded;
mod heads;
mod http10;
mod paths;
mod proxy;
mod timeouts;
mod upgrades;
