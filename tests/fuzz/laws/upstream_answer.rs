//! Answers of an app, right and wrong, cut anywhere: the same comes out, and chunks mean to us what they mean at the
//! door.

use bytes::BytesMut;
use doorway::http::chunked::{ChunkLimits, Chunked};
use doorway::upstream::protocol::{Decoder, Framing, Head, Misbehaviour, Piece, parse};
use http::Method;

/// What came out, and whether that was all.
#[derive(Debug, PartialEq)]
struct Read {
    status: Option<u16>,
    framing: Option<Framing>,
    data: Vec<u8>,
    trailers: usize,
    is_done: bool,
}

fn read(bytes: &[u8], cuts: &[u8], method: &Method) -> Result<Read, (Vec<u8>, Misbehaviour)> {
    let mut input = BytesMut::new();
    let (mut head, mut decoder): (Option<Head>, Option<Decoder>) = (None, None);
    let mut read = Read { status: None, framing: None, data: Vec::new(), trailers: 0, is_done: false };
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() && !read.is_done {
        let length = cuts.next().map_or(rest.len(), |cut| usize::from(*cut).clamp(1, rest.len()));
        input.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
        if head.is_none() {
            head = parse(&mut input, method, false).map_err(|error| (Vec::new(), error))?;
            decoder = head.as_ref().map(|head| Decoder::new(head.framing));
        }
        let Some(decoder) = &mut decoder else { continue };
        loop {
            match decoder.decode(&mut input).map_err(|error| (read.data.clone(), error))? {
                Piece::More => break,
                Piece::Data(data) => {
                    assert!(!data.is_empty());
                    read.data.extend_from_slice(&data);
                }
                Piece::Trailers(fields) => read.trailers = fields.len(),
                Piece::End => {
                    read.is_done = true;
                    break;
                }
            }
            read.is_done = decoder.is_done();
            if read.is_done {
                break;
            }
        }
    }
    read.status = head.as_ref().map(|head| head.status.as_u16());
    read.framing = head.as_ref().map(|head| head.framing);
    assert!(read.data.len() <= bytes.len());
    Ok(read)
}

/// What the door takes from a client as chunks, it takes from an app, and to the same length.
fn chunks_are_chunks(bytes: &[u8]) {
    let mut strict = Chunked::new(&ChunkLimits::REQUEST);
    let (Ok(length), true) = (strict.follow(bytes), strict.is_at_end()) else { return };
    let mut input = BytesMut::from(bytes);
    let mut decoder = Decoder::new(Framing::Chunked);
    while !decoder.is_done() {
        match decoder.decode(&mut input) {
            Ok(Piece::More) => panic!("a whole body to one, not to the other"),
            Ok(_) => {}
            // It is stricter about the fields of a trailer.
            Err(Misbehaviour::BadTrailers) => return,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(bytes.len() - input.len(), length);
}

pub fn holds(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    chunks_are_chunks(bytes);
    for method in [Method::GET, Method::HEAD] {
        let whole = read(bytes, &[], &method);
        for cuts in [&[1][..], &[*cut], &[*cut, 1, 5]] {
            assert_eq!(whole, read(bytes, cuts, &method));
        }
    }
}
