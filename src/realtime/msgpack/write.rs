//! Writing, each thing in its shortest format. Memory takes all that it is given, so nothing here fails.

use rmp::encode;

pub fn nil(out: &mut Vec<u8>) {
    let _ = encode::write_nil(out);
}

pub fn bool(out: &mut Vec<u8>, is: bool) {
    let _ = encode::write_bool(out, is);
}

pub fn unsigned(out: &mut Vec<u8>, number: u64) {
    let _ = encode::write_uint(out, number);
}

pub fn signed(out: &mut Vec<u8>, number: i64) {
    let _ = encode::write_sint(out, number);
}

pub fn float(out: &mut Vec<u8>, number: f64) {
    let _ = encode::write_f64(out, number);
}

pub fn text(out: &mut Vec<u8>, text: &str) {
    let _ = encode::write_str(out, text);
}

pub fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let _ = encode::write_bin(out, bytes);
}

/// The head of an array: `length` items follow.
pub fn array(out: &mut Vec<u8>, length: usize) {
    let _ = encode::write_array_len(out, u32::try_from(length).unwrap_or(u32::MAX));
}

/// The head of a map: `length` pairs follow.
pub fn map(out: &mut Vec<u8>, length: usize) {
    let _ = encode::write_map_len(out, u32::try_from(length).unwrap_or(u32::MAX));
}
