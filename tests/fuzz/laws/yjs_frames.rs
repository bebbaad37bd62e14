//! Any bytes at all as a frame of y-protocols: one that can be read is the same when it is written and read again.

use doorway::realtime::yjs::machine::YFrame;

pub fn holds(input: &[u8]) {
    if let Ok(frame) = YFrame::read(input.to_vec().into()) {
        assert_eq!(YFrame::read(frame.write()), Ok(frame));
    }
}
