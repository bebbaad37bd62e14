//! Frames of a client of HTTP/2, cut anywhere: the same ones are seen, and a flood is never free.

use std::time::Instant;

use doorway::http::connection::http2::{Budget, Frame, Walk};

const CAPACITY: u32 = 100;
/// As the room has it: so many bytes of data earn one unit.
const EARNING: u64 = 2 * 1024;

fn walk(bytes: &[u8], cuts: &[u8]) -> Vec<Frame> {
    let (mut walk, mut rest, mut seen) = (Walk::of_client(), bytes, Vec::new());
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let length = cuts.next().map_or(rest.len(), |cut| usize::from(*cut).clamp(1, rest.len()));
        walk.pass(&rest[..length], |frame, _| seen.push(frame));
        rest = &rest[length..];
    }
    seen
}

pub fn holds(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let frames = walk(bytes, &[]);
    assert_eq!(frames, walk(bytes, &[1]));
    assert_eq!(frames, walk(bytes, &[*cut, 3]));

    let now = Instant::now();
    let mut budget = Budget::new(CAPACITY, now);
    let (mut idle, mut data) = (0, 0);
    for frame in frames {
        let is_data = frame.kind == 0 && frame.length > 0;
        match budget.draw(frame, now) {
            Ok(()) if is_data => data += u64::from(frame.length),
            Ok(()) if frame.kind != 1 => idle += 1,
            Ok(()) => {}
            Err(_) => assert!(!is_data && frame.kind != 1, "work that was asked for is not refused"),
        }
        assert!(idle <= u64::from(CAPACITY) + data / EARNING, "{idle} frames that move nothing, for {data} bytes");
    }
}
