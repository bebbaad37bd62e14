//! Socket.IO from outside, byte by byte; the stock client speaks in `tests/clients`.

mod engine_drain;
mod engine_handshake;
mod engine_limits;
mod engine_origins;
mod engine_polling;
mod engine_sockets;
mod packets;
mod polling;
mod recovery;
mod transcripts;
