//! A Zstandard stream whose context is used again: making one anew takes half as long as compressing a page with it.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, SafeResult, get_error_name};

/// Idle contexts. Beyond this they are freed: each holds up to 1.7 MB for as long as the door runs.
const MOST_IDLE: usize = 8;
/// Room made for coded bytes at a time.
const OUTPUT_ROOM: usize = 4096;

/// Contexts that wait to be used again. Clones share them.
#[derive(Clone, Default)]
pub struct Contexts(Arc<Mutex<Vec<CCtx<'static>>>>);

impl Contexts {
    fn take(&self) -> Option<CCtx<'static>> {
        self.0.lock().pop()
    }

    fn give(&self, context: CCtx<'static>) {
        let mut idle = self.0.lock();
        if idle.len() < MOST_IDLE {
            idle.push(context);
        }
    }
}

/// Plain bytes in, coded ones out.
pub struct Stream {
    /// Until it is given back.
    context: Option<CCtx<'static>>,
    contexts: Option<Contexts>,
    pub coded: Vec<u8>,
}

impl Stream {
    /// A `window` is given as its logarithm; `length` is that of the whole input, where it is known. The context comes
    /// from `contexts` and goes back there, if there are any.
    ///
    /// # Errors
    /// When a parameter is refused, or there is no memory.
    pub fn new(
        level: i32,
        window: Option<u32>,
        length: Option<u64>,
        contexts: Option<&Contexts>,
    ) -> io::Result<Stream> {
        let kept = contexts.and_then(Contexts::take);
        let mut context = kept.or_else(CCtx::try_create).ok_or(io::ErrorKind::OutOfMemory)?;
        check(context.reset(ResetDirective::SessionAndParameters))?;
        check(context.set_parameter(CParameter::CompressionLevel(level)))?;
        if let Some(window) = window {
            check(context.set_parameter(CParameter::WindowLog(window)))?;
        }
        check(context.set_pledged_src_size(length))?;
        Ok(Stream { context: Some(context), contexts: contexts.cloned(), coded: Vec::new() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            self.step(&mut input, ZSTD_EndDirective::ZSTD_e_continue)?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while self.step(&mut InBuffer::around(&[]), ZSTD_EndDirective::ZSTD_e_flush)? > 0 {}
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        while self.step(&mut InBuffer::around(&[]), ZSTD_EndDirective::ZSTD_e_end)? > 0 {}
        Ok(std::mem::take(&mut self.coded))
    }

    /// How much is still to come out, at least.
    fn step(&mut self, input: &mut InBuffer, directive: ZSTD_EndDirective) -> io::Result<usize> {
        let context = self.context.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        self.coded.reserve(OUTPUT_ROOM);
        let written = self.coded.len();
        let mut output = OutBuffer::around_pos(&mut self.coded, written);
        check(context.compress_stream2(&mut output, input, directive))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let (Some(context), Some(contexts)) = (self.context.take(), &self.contexts) {
            contexts.give(context);
        }
    }
}

fn check(result: SafeResult) -> io::Result<usize> {
    result.map_err(|code| io::Error::other(get_error_name(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_left_mid_stream_serves_the_next() {
        let contexts = Contexts::default();
        for length in [None, Some(1000)] {
            let mut left = Stream::new(3, Some(17), length, Some(&contexts)).unwrap();
            left.write(b"half of it").unwrap();
            left.flush().unwrap();
            drop(left);
            let mut next = Stream::new(1, Some(14), None, Some(&contexts)).unwrap();
            next.write(b"all of it").unwrap();
            assert_eq!(zstd::decode_all(&next.finish().unwrap()[..]).unwrap(), b"all of it");
            assert_eq!(contexts.0.lock().len(), 1, "one context did it all");
        }
    }

    #[test]
    fn no_more_than_a_few_contexts_are_kept() {
        let contexts = Contexts::default();
        let streams: Vec<_> = (0..20).map(|_| Stream::new(3, Some(17), None, Some(&contexts)).unwrap()).collect();
        drop(streams);
        assert_eq!(contexts.0.lock().len(), MOST_IDLE);
    }
}
