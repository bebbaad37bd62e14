//! What Next.js itself says: what it declares old, and what its answers are made of.

use std::time::SystemTime;

use http::header::AGE;
use http::{HeaderMap, HeaderValue};

use super::announcements::Announcements;
use super::making::MAX_TAGS;
use super::purges::Purges;
use crate::upstream::{Entry, Old};

/// Stands for all tags that are not known: whatever is declared old is of an answer that has it.
pub const ANY: &str = "*";
/// Before the path of a page, in the tags that Next.js gives it by itself.
const OF_PATH: &str = "_N_T_";
/// Before the path of a page of the Pages Router, which has no tags.
const OF_KEY: &str = "key:";

/// The path that a tag of Next.js' own stands for.
fn path_of(tag: &str) -> Option<&str> {
    tag.strip_prefix(OF_PATH).or_else(|| tag.strip_prefix(OF_KEY)).filter(|path| path.starts_with('/'))
}

/// Has people told of it.
pub fn announce(announcements: &Announcements, old: &Old) {
    match old {
        Old::Everything => announcements.everything(),
        Old::Tag(tag) => match path_of(tag) {
            Some(path) => announcements.path(path),
            None => announcements.tag(tag),
        },
    }
}

/// Notes what Next.js declares old: a tag, and where that stands for a path also the path, for answers that have no tags.
pub fn note(purges: &Purges, old: &Old) {
    let Old::Tag(tag) = old else { return purges.everything() };
    purges.tag(ANY);
    purges.tag(tag);
    // Next.js writes the tags of a page in one line: what has a comma is then several.
    tag.split(',').filter(|_| tag.contains(',')).for_each(|tag| purges.tag(tag));
    if let Some(path) = path_of(tag) {
        purges.path(path);
    }
}

/// The tags that an answer has besides those of its `Cache-Tag`, and its age if it has not told it.
pub fn tags(entry: Option<&Entry>, known: Box<[Box<str>]>) -> Box<[Box<str>]> {
    let mut tags = known.into_vec();
    tags.extend(entry.into_iter().flat_map(|entry| entry.tags.iter().cloned()));
    if tags.len() > MAX_TAGS || entry.is_none_or(|entry| !entry.has_all_tags) {
        tags.truncate(MAX_TAGS);
        tags.push(ANY.into());
    }
    tags.into_boxed_slice()
}

/// Writes the age of what an answer was made of to where others look for it: Next.js gives a page that it has kept for a
/// while the same lifetime as a new one, and no age.
pub fn tell_age(headers: &mut HeaderMap, entry: Option<&Entry>, wall: SystemTime) {
    let age = entry.and_then(|entry| wall.duration_since(entry.born).ok());
    if let Some(age) = age.filter(|_| !headers.contains_key(AGE)) {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
    }
}
