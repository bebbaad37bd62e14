//! Content codings undone, as far as what has come allows.

use std::io::Write;

/// Reads one coded stream piece by piece.
pub enum Decoder {
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    Identity(Vec<u8>),
}

impl Decoder {
    /// For the value of `Content-Encoding`.
    pub fn new(coding: &str) -> Decoder {
        match coding {
            "br" => Decoder::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 4096))),
            "zstd" => Decoder::Zstd(zstd::stream::write::Decoder::new(Vec::new()).expect("a decoder")),
            "gzip" => Decoder::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
            "" => Decoder::Identity(Vec::new()),
            other => panic!("an unknown coding {other:?}"),
        }
    }

    /// Everything that can be read so far.
    pub fn push(&mut self, coded: &[u8]) -> &[u8] {
        match self {
            Decoder::Brotli(writer) => {
                writer.write_all(coded).expect("brotli");
                writer.flush().expect("brotli");
                writer.get_ref()
            }
            Decoder::Zstd(writer) => {
                writer.write_all(coded).expect("zstd");
                writer.flush().expect("zstd");
                writer.get_ref()
            }
            Decoder::Gzip(writer) => {
                writer.write_all(coded).expect("gzip");
                writer.flush().expect("gzip");
                writer.get_ref()
            }
            Decoder::Identity(plain) => {
                plain.extend_from_slice(coded);
                plain
            }
        }
    }
}

/// A whole body in plain; panics when it is not a whole stream.
pub fn whole(coding: &str, coded: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut plain = Vec::new();
    let read = match coding {
        "br" => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(coded).expect("a decoder").read_to_end(&mut plain),
        "gzip" => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
        "" => return coded.to_vec(),
        other => panic!("an unknown coding {other:?}"),
    };
    read.unwrap_or_else(|error| panic!("not a whole {coding} stream: {error}"));
    plain
}
