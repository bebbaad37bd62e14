//! Masking (RFC 6455 section 5.3): XOR with a key of four bytes.

/// Unmasks `bytes` in place. Returns the key for the bytes that follow them in the same frame.
pub fn apply(bytes: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let number = u64::from_ne_bytes((&*word).try_into().expect("eight bytes")) ^ wide;
        word.copy_from_slice(&number.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(bytes.len() % 4);
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_split_unmasks_alike(bytes: Vec<u8>, key: [u8; 4], at: proptest::sample::Index) {
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(place, byte)| byte ^ key[place % 4]).collect();
            let mut whole = bytes.clone();
            apply(&mut whole, key);
            prop_assert_eq!(&whole, &expected);
            let mut parts = bytes;
            let at = at.index(parts.len() + 1);
            let (first, second) = parts.split_at_mut(at);
            let next = apply(first, key);
            apply(second, next);
            prop_assert_eq!(&parts, &expected);
        }
    }
}
