//! What must be whole in Redis: scripts, loaded on every connection.

/// Where a channel stands, for all of them.
const TOP: &str = include_str!("scripts/top.lua");

/// What is done in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Append,
    Put,
    Remove,
    Snapshot,
    Tops,
    Sweep,
    Mark,
    Unmark,
    Leave,
    Take,
    Settle,
    Own,
    Write,
    Amend,
    Size,
}

impl Script {
    pub(super) const ALL: [Script; 15] = [
        Script::Append,
        Script::Put,
        Script::Remove,
        Script::Snapshot,
        Script::Tops,
        Script::Sweep,
        Script::Mark,
        Script::Unmark,
        Script::Leave,
        Script::Take,
        Script::Settle,
        Script::Own,
        Script::Write,
        Script::Amend,
        Script::Size,
    ];

    pub(super) fn text(self) -> String {
        let own = match self {
            Script::Append => include_str!("scripts/append.lua"),
            Script::Put => include_str!("scripts/put.lua"),
            Script::Remove => include_str!("scripts/remove.lua"),
            Script::Snapshot => include_str!("scripts/snapshot.lua"),
            Script::Tops => include_str!("scripts/tops.lua"),
            Script::Sweep => include_str!("scripts/sweep.lua"),
            Script::Mark => include_str!("scripts/mark.lua"),
            Script::Leave => include_str!("scripts/leave.lua"),
            Script::Unmark => include_str!("scripts/unmark.lua"),
            Script::Take => include_str!("scripts/take.lua"),
            Script::Settle => include_str!("scripts/settle.lua"),
            Script::Own => include_str!("scripts/own.lua"),
            Script::Write => include_str!("scripts/write.lua"),
            Script::Amend => include_str!("scripts/amend.lua"),
            Script::Size => include_str!("scripts/size.lua"),
        };
        format!("{TOP}{own}")
    }
}
