//! Socket.IO from outside, byte by byte; the stock client speaks in `tests/clients`.
