//! Plain bytes in, coded bytes out, chunk by chunk. No input or output of its own.

use std::io::{self, Write};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;

use super::Config;
use super::zstandard::{Contexts, Stream};
use crate::http::encoding::Encoding;

/// What an encoder is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// An answer that ends soon; its length where it is known.
    Page(Option<u64>),
    /// A stream that stays open for long (`text/event-stream`): it must cost little memory.
    Live,
    /// A file that is made once and sent often: effort does not count.
    Keep(u64),
}

/// One of the three, writing into memory.
pub enum Encoder {
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Stream),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

/// 2^17 = 128 KiB: browsers take far more, but what a window costs here is paid by every answer under way.
const ZSTD_WINDOW: u32 = 17;
/// Below 17 the encoder turns to tables that take thirty times the memory.
const BROTLI_WINDOW: i32 = 18;
/// For streams that stay: 16 KiB of memory to refer back to.
const LIVE_WINDOW: u32 = 14;
/// Beyond this a file that is kept gets quality 9: quality 11 takes a second for every half MiB.
const BEST_UP_TO: u64 = 2 * 1024 * 1024;

impl Encoder {
    /// # Errors
    /// When the library refuses its parameters or has no memory.
    pub fn new(encoding: Encoding, purpose: Use, config: &Config, contexts: &Contexts) -> io::Result<Encoder> {
        Ok(match encoding {
            Encoding::Brotli => Encoder::Brotli(Box::new(brotli_writer(purpose, config.br_level))),
            Encoding::Zstd => Encoder::Zstd(zstandard(purpose, config.zstd_level, contexts)?),
            Encoding::Gzip => {
                let level = if matches!(purpose, Use::Keep(_)) { 9 } else { config.gzip_level };
                Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level)))
            }
        })
    }

    /// How much memory one takes at most, in KiB: measured with long inputs, rounded up.
    pub fn cost(encoding: Encoding, purpose: Use, config: &Config) -> u32 {
        match (encoding, purpose) {
            (Encoding::Brotli, Use::Live) => 1024,
            (Encoding::Brotli, _) if config.br_level < 4 => 2048,
            (Encoding::Brotli, _) => 5120,
            (Encoding::Zstd, Use::Live) => 448,
            (Encoding::Zstd, _) if config.zstd_level <= 3 => 1536,
            (Encoding::Zstd, _) => 4096,
            (Encoding::Gzip, _) => 640,
        }
    }

    /// Takes all of `bytes`; coded ones come out by [`Encoder::take`], now or after a flush.
    ///
    /// # Errors
    /// When the library fails; the stream is lost then.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Brotli(writer) => writer.write_all(bytes),
            Encoder::Zstd(stream) => stream.write(bytes),
            Encoder::Gzip(writer) => writer.write_all(bytes),
        }
    }

    /// Makes everything written so far readable at the other end.
    ///
    /// # Errors
    /// As for [`Encoder::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Brotli(writer) => writer.flush(),
            Encoder::Zstd(stream) => stream.flush(),
            Encoder::Gzip(writer) => writer.flush(),
        }
    }

    /// How many coded bytes wait.
    pub fn waiting(&self) -> usize {
        match self {
            Encoder::Brotli(writer) => writer.get_ref().len(),
            Encoder::Zstd(stream) => stream.coded.len(),
            Encoder::Gzip(writer) => writer.get_ref().len(),
        }
    }

    /// The coded bytes that wait.
    pub fn take(&mut self) -> Bytes {
        let coded = match self {
            Encoder::Brotli(writer) => writer.get_mut(),
            Encoder::Zstd(stream) => &mut stream.coded,
            Encoder::Gzip(writer) => writer.get_mut(),
        };
        let next = Vec::with_capacity(coded.len());
        Bytes::from(std::mem::replace(coded, next))
    }

    /// Ends the stream; what is left of it.
    ///
    /// # Errors
    /// As for [`Encoder::write`].
    pub fn finish(self) -> io::Result<Bytes> {
        Ok(Bytes::from(match self {
            Encoder::Brotli(writer) => writer.into_inner(),
            Encoder::Zstd(stream) => stream.finish()?,
            Encoder::Gzip(writer) => writer.finish()?,
        }))
    }
}

fn brotli_writer(purpose: Use, level: u32) -> brotli::CompressorWriter<Vec<u8>> {
    let (quality, lgwin, size_hint) = match purpose {
        Use::Page(length) => (level, BROTLI_WINDOW, length.unwrap_or(0)),
        Use::Live => (level.min(3), LIVE_WINDOW as i32, 0),
        Use::Keep(length) => (if length <= BEST_UP_TO { 11 } else { 9 }, 22, length),
    };
    let params = BrotliEncoderParams {
        quality: quality as i32,
        lgwin,
        size_hint: usize::try_from(size_hint).unwrap_or(0),
        ..Default::default()
    };
    brotli::CompressorWriter::with_params(Vec::new(), 4096, &params)
}

fn zstandard(purpose: Use, level: u32, contexts: &Contexts) -> io::Result<Stream> {
    match purpose {
        Use::Page(length) => Stream::new(level as i32, Some(ZSTD_WINDOW), length, Some(contexts)),
        // Its context is for long, and small: not one to share with pages.
        Use::Live => Stream::new(1, Some(LIVE_WINDOW), None, None),
        // RFC 9659: a decoder need not take windows above 8 MiB; level 19 asks for no more than just that.
        Use::Keep(length) => Stream::new(19, None, Some(length), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    pub fn decode(encoding: Encoding, coded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match encoding {
            Encoding::Brotli => drop(brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain).unwrap()),
            Encoding::Zstd => drop(zstd::stream::read::Decoder::new(coded).unwrap().read_to_end(&mut plain).unwrap()),
            Encoding::Gzip => drop(flate2::read::GzDecoder::new(coded).read_to_end(&mut plain).unwrap()),
        }
        plain
    }

    fn uses(length: u64) -> [Use; 4] {
        [Use::Page(Some(length)), Use::Page(None), Use::Live, Use::Keep(length)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn whatever_goes_in_comes_out(chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..6)) {
            let plain: Vec<u8> = chunks.iter().flat_map(|(chunk, _)| chunk.clone()).collect();
            for encoding in Encoding::ALL {
                for purpose in uses(plain.len() as u64) {
                    let mut encoder = Encoder::new(encoding, purpose, &Config::default(), &Contexts::default()).unwrap();
                    let mut coded = Vec::new();
                    for (chunk, flush) in &chunks {
                        encoder.write(chunk).unwrap();
                        if *flush {
                            encoder.flush().unwrap();
                            coded.extend_from_slice(&encoder.take());
                        }
                    }
                    coded.extend_from_slice(&encoder.finish().unwrap());
                    prop_assert_eq!(&decode(encoding, &coded), &plain);
                }
            }
        }
    }

    #[test]
    fn after_a_flush_everything_written_can_be_read() {
        for encoding in Encoding::ALL {
            for purpose in uses(5).into_iter().filter(|purpose| !matches!(purpose, Use::Keep(_))) {
                let mut encoder = Encoder::new(encoding, purpose, &Config::default(), &Contexts::default()).unwrap();
                encoder.write(b"hello").unwrap();
                encoder.flush().unwrap();
                let coded = encoder.take();
                let mut start = [0; 5];
                match encoding {
                    Encoding::Brotli => brotli::Decompressor::new(&coded[..], 4096).read_exact(&mut start),
                    Encoding::Zstd => zstd::stream::read::Decoder::new(&coded[..]).unwrap().read_exact(&mut start),
                    Encoding::Gzip => flate2::read::GzDecoder::new(&coded[..]).read_exact(&mut start),
                }
                .unwrap_or_else(|error| panic!("{encoding:?} {purpose:?}: {error}"));
                assert_eq!(&start, b"hello");
            }
        }
    }
}
