//! How an answer ended, as the line and the span of its request say it.

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Whole,
    /// The app broke off.
    Broken,
    /// The client went, or was cut off.
    Abandoned,
}

impl Ending {
    pub fn label(self) -> &'static str {
        match self {
            Ending::Whole => "whole",
            Ending::Broken => "broken",
            Ending::Abandoned => "abandoned",
        }
    }
}
