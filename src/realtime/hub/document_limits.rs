//! What bounds the documents of channels.

use std::time::Duration;

use crate::realtime::document::tree::TreeLimits;
use crate::realtime::document::ydoc::YLimits;
use crate::settings::{Section, Size};

/// The keys of `[realtime.documents]`: they bound what is in memory, and each channel's documents.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentLimits {
    /// Channels whose documents are in memory at a time. Default 1,000.
    pub max_rooms: usize,
    /// How long they stay there once nobody edits. Default 1 minute.
    pub unload_after: Duration,
    /// Nodes of a channel's tree. Default 100,000.
    pub max_nodes: usize,
    /// All values of a channel's tree. Default 32 MiB.
    pub max_tree: Size,
    /// One value: what an object has beside its nodes, a list's or a map's value, a text. Default 2 MiB.
    pub max_value: Size,
    /// How deep a tree may be, at most 500. Default 100.
    pub max_depth: usize,
    /// One document of Yjs. Default 32 MiB.
    pub max_yjs: Size,
    /// Documents of Yjs of one channel, subdocuments too. Default 1,000.
    pub max_subdocuments: usize,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        DocumentLimits {
            max_rooms: 1_000,
            unload_after: Duration::from_secs(60),
            max_nodes: 100_000,
            max_tree: Size::mib(32),
            max_value: Size::mib(2),
            max_depth: 100,
            max_yjs: Size::mib(32),
            max_subdocuments: 1_000,
        }
    }
}

impl DocumentLimits {
    pub fn read(section: &Section) -> DocumentLimits {
        let default = DocumentLimits::default();
        DocumentLimits {
            max_rooms: section.value("max_rooms", default.max_rooms),
            unload_after: section.value("unload_after", default.unload_after),
            max_nodes: section.value("max_nodes", default.max_nodes),
            max_tree: section.value("max_tree", default.max_tree),
            max_value: section.value("max_value", default.max_value),
            max_depth: depth(section, default.max_depth),
            max_yjs: section.value("max_yjs", default.max_yjs),
            max_subdocuments: section.value("max_subdocuments", default.max_subdocuments),
        }
    }

    /// Those of a tree.
    pub fn tree(&self) -> TreeLimits {
        TreeLimits {
            nodes: self.max_nodes,
            bytes: self.max_tree.bytes(),
            value: self.max_value.bytes(),
            depth: self.max_depth,
            id: 128,
        }
    }

    /// Those of a document of Yjs.
    pub fn yjs(&self) -> YLimits {
        YLimits { bytes: self.max_yjs.bytes(), pending: self.max_yjs.bytes() / 4 }
    }
}

/// Trees are written by one call a level.
const DEEPEST: usize = 500;

fn depth(section: &Section, default: usize) -> usize {
    let depth = section.value("max_depth", default);
    if depth == 0 || depth > DEEPEST {
        section.problem("max_depth", format!("a tree is between 1 and {DEEPEST} nodes deep"), None);
        return default;
    }
    depth
}
