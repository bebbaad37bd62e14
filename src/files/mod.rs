//! Answers on disk.
