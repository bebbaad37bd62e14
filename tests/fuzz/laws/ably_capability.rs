//! Any two capabilities: what is read is written and read again the same; what both allow is what each of them allows, for
//! every operation on every name, and never more than the key's. The first line is what is wanted, the second the key's,
//! and further lines are names; those that the patterns stand for are tried besides.

use std::collections::BTreeSet;

use doorway::realtime::ably::capability::{Capability, MAX_CAPABILITY_LEN, Operation};

/// Names tried with one pair, at most.
const MAX_NAMES: usize = 64;

const OPERATIONS: [Operation; 6] = [
    Operation::Subscribe,
    Operation::Publish,
    Operation::Presence,
    Operation::History,
    Operation::ChannelMetadata,
    Operation::PushAdmin,
];

fn read(text: &str) -> Option<Capability> {
    let capability = match Capability::parse(text) {
        Ok(capability) => capability,
        Err(error) => {
            assert_eq!((error.code, error.status), (40000, 400), "{error:?}");
            return None;
        }
    };
    let written = capability.canonical();
    // Written, some characters are longer.
    if written.len() <= MAX_CAPABILITY_LEN {
        let again = Capability::parse(&written).expect("what is written is read");
        assert_eq!(again, capability);
        assert_eq!(again.canonical(), written);
    }
    Some(capability)
}

/// Names that the patterns stand for, and some that they only look like.
fn names<'a>(capability: &'a Capability, other: &'a Capability, said: &'a [&str]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = said.iter().map(|name| (*name).to_owned()).collect();
    for resource in capability.resources().chain(other.resources()).take(MAX_NAMES) {
        names.insert(resource.to_owned());
        names.insert(resource.replace('*', "x"));
        names.insert(resource.replace('*', "x:y"));
        names.insert(format!("{resource}:z"));
        names.extend(resource.split(':').map(str::to_owned).next());
    }
    names.into_iter().take(MAX_NAMES).collect()
}

pub fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let (wanted, key) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let said: Vec<&str> = lines.take(MAX_NAMES).collect();
    let (Some(wanted), Some(key)) = (read(wanted), read(key)) else { return };
    let granted = wanted.intersect(&key);
    assert_eq!(granted, key.intersect(&wanted), "it does not matter who asks");
    let again = granted.intersect(&key);
    for name in names(&wanted, &key, &said) {
        for operation in OPERATIONS {
            let both = wanted.allows(operation, &name) && key.allows(operation, &name);
            assert_eq!(granted.allows(operation, &name), both, "{} on {name:?}: {granted:?}", operation.word());
            assert_eq!(again.allows(operation, &name), both, "asked for again it is the same");
            assert!(!both || granted.allows_somewhere(operation));
        }
    }
    let is_nothing = OPERATIONS.iter().all(|operation| !granted.allows_somewhere(*operation));
    assert!(!granted.is_empty() || is_nothing);
}
