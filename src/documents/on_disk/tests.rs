//! What was committed is there: after a restart, and after what a restart may meet.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::*;
use crate::documents::{Backup, RoomSize, SetAsideError, journal, set_aside};

fn store_in(folder: &Path, sync: Sync) -> DiskStore {
    DiskStore::new(&Config { dir: Some(folder.to_owned()), sync, ..Config::default() })
}

fn store(folder: &Path) -> DiskStore {
    store_in(folder, Sync::Every(Duration::from_secs(1)))
}

fn row(key: &str, value: &str) -> Row {
    (key.into(), Some(value.into()))
}

fn stored(rows: &[(&str, &str)]) -> Vec<StoredRow> {
    rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

#[test]
fn rows_are_there_and_go_room_by_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.commit("a", &[row("1", "one"), row("2", "two")]).unwrap();
    store.commit("ab", &[row("1", "another")]).unwrap();
    assert_eq!(store.load("a").unwrap(), stored(&[("1", "one"), ("2", "two")]));
    store.commit("a", &[row("2", "new"), ("1".into(), None)]).unwrap();
    assert_eq!(store.load("a").unwrap(), stored(&[("2", "new")]));
    assert_eq!((store.get("a", b"2").unwrap(), store.get("a", b"1").unwrap()), (Some(b"new".to_vec()), None));
    assert_eq!(store.rooms(None, 9).unwrap(), ["a", "ab"]);
    assert_eq!(
        (store.rooms(Some("a"), 9).unwrap(), store.rooms(None, 1).unwrap()),
        (vec!["ab".into()], vec!["a".into()])
    );
    store.delete("a").unwrap();
    assert_eq!(
        (store.has("a").unwrap(), store.has("ab").unwrap(), store.load("a").unwrap()),
        (false, true, Vec::new())
    );
    assert_eq!(store.load("ab").unwrap(), stored(&[("1", "another")]));
}

#[test]
fn a_room_is_replaced_at_once_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.commit("a", &[row("1", "one"), row("2", "two")]).unwrap();
    store.commit("b", &[row("1", "one")]).unwrap();
    store.replace("a", &stored(&[("2", "changed"), ("3", "three")])).unwrap();
    assert_eq!(store.load("a").unwrap(), stored(&[("2", "changed"), ("3", "three")]));
    let size = |room: &str, rows, bytes| RoomSize { room: room.to_owned(), rows, bytes };
    assert_eq!(store.sizes("", None, 9).unwrap(), [size("a", 2, 18), size("b", 1, 6)]);
    assert_eq!(store.sizes("b", None, 9).unwrap(), [size("b", 1, 6)]);
    assert_eq!(store.sizes("", Some("a"), 9).unwrap(), [size("b", 1, 6)]);
    assert_eq!(store.sizes("", None, 1).unwrap(), [size("a", 2, 18)]);
}

#[test]
fn a_restart_finds_what_was_committed_in_any_mode() {
    for sync in [Sync::Always, Sync::Every(Duration::from_secs(60))] {
        let folder = tempfile::tempdir().unwrap();
        let first = store_in(folder.path(), sync);
        assert_eq!(first.sync_interval().is_none(), sync == Sync::Always);
        first.commit("a", &[row("1", "one")]).unwrap();
        first.sync().unwrap();
        drop(first);
        assert_eq!(store_in(folder.path(), sync).load("a").unwrap(), stored(&[("1", "one")]));
    }
}

#[test]
fn a_store_has_one_user_and_is_had_once_that_one_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (store(folder.path()), store(folder.path()));
    first.commit("a", &[row("1", "one")]).unwrap();
    let in_use = StoreError::InUse(folder.path().to_owned());
    assert_eq!((second.load("a").unwrap_err(), second.health().unwrap_err()), (in_use.clone(), in_use));
    drop(first);
    // It is not tried again at once.
    let deadline = Instant::now() + Duration::from_secs(30);
    while second.load("a").is_err() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!((second.load("a").unwrap(), second.health()), (stored(&[("1", "one")]), Ok(())));
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let error = store(&file.join("documents")).commit("a", &[row("1", "one")]).unwrap_err();
    let StoreError::Failed { folder, .. } = &error else { panic!("{error:?}") };
    assert!(error.to_string().contains(folder.to_str().unwrap()), "{error}");
    let nowhere = DiskStore(Arc::new(Inner {
        folder: None,
        sync: Sync::Always,
        state: Mutex::default(),
        is_dirty: AtomicBool::new(false),
    }));
    assert_eq!(nowhere.load("a").unwrap_err(), StoreError::NoFolder);
}

#[test]
fn a_torn_last_write_takes_nothing_that_was_before_it() {
    for torn in [1, 7, 40] {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path());
        first.commit("a", &[row("1", "one")]).unwrap();
        let known: Vec<_> = files(folder.path()).iter().map(|file| (file.clone(), written(file))).collect();
        first.commit("a", &[row("2", &"two".repeat(20))]).unwrap();
        first.sync().unwrap();
        drop(first);
        // The journal is as long as it may become: what was written last is where it was nothing before.
        let mut is_torn = false;
        for (file, before) in known {
            let after = written(&file);
            if file.extension().is_some_and(|end| end == "jnl") && after > before {
                let len = fs::metadata(&file).unwrap().len();
                let opened = OpenOptions::new().write(true).open(&file).unwrap();
                opened.set_len(after - torn).unwrap();
                opened.set_len(len).unwrap();
                is_torn = true;
            }
        }
        assert!(is_torn, "{:?}", files(folder.path()));
        let again = store(folder.path());
        assert_eq!(again.load("a").unwrap(), stored(&[("1", "one")]), "{torn}");
        again.commit("a", &[row("3", "three")]).unwrap();
        drop(again);
        assert_eq!(store(folder.path()).load("a").unwrap(), stored(&[("1", "one"), ("3", "three")]));
    }
}

#[test]
fn a_log_broken_in_the_middle_keeps_what_is_behind() {
    let large = "x".repeat(3000);
    let rows: Vec<_> = (0..20).map(|number| (format!("{number:02}"), format!("{large}{number}"))).collect();
    // Wherever it is broken, and whatever by: in the first batches, in the last, in a length, in a value.
    for (place, bytes) in [(0, 1), (20, 8), (700, 300), (1500, 64), (9000, 4), (1, 2000)] {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path());
        for (key, value) in &rows {
            // Some of it is packed.
            first.commit("a", &[row(key, value), row("other", key)]).unwrap();
        }
        drop(first);
        let log =
            files(folder.path()).into_iter().find(|file| file.extension().is_some_and(|end| end == "jnl")).unwrap();
        assert!(journal::check(folder.path()).is_ok());
        let sound = fs::read(&log).unwrap();
        let mut spoilt = sound.clone();
        let end = usize::try_from(written(&log)).unwrap();
        let place = if place == 1 { end - 60 } else { place };
        let to = (place + bytes).min(end - 20);
        spoilt[place.min(to - 1)..to].fill(0xA5);
        fs::write(&log, &spoilt).unwrap();
        let error = store(folder.path()).load("a").unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{place}: {error:?}");
        assert!(fs::read(&log).unwrap() == spoilt, "{place}: nothing was taken away");
        fs::write(&log, &sound).unwrap();
        assert_eq!(store(folder.path()).load("a").unwrap().len(), 21, "{place}");
    }
}

/// Where the last byte is that is not zero.
fn written(file: &Path) -> u64 {
    let mut bytes = Vec::new();
    fs::File::open(file).unwrap().read_to_end(&mut bytes).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |place| place as u64 + 1)
}

#[test]
fn a_backup_is_of_one_moment_and_a_store_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let original = store(&folder.path().join("documents"));
    original.commit("a", &[row("1", "one"), row("2", "two")]).unwrap();
    original.commit("b", &[row("1", &"x".repeat(3 << 20))]).unwrap();
    let copy = folder.path().join("copy");
    let mut backup = Backup::begin(&copy).unwrap();
    let mut is_changed = false;
    original
        .copy(|key, value| {
            if !is_changed {
                is_changed = true;
                original.commit("a", &[row("2", "later"), row("3", "later")]).unwrap();
                original.delete("b").unwrap();
            }
            backup.put(key.to_vec(), value.to_vec()).unwrap();
            true
        })
        .unwrap();
    assert!(!copy.exists(), "it is not there before it is whole");
    assert_eq!(backup.finish().unwrap(), 3);
    let copied = store(&copy);
    assert_eq!(copied.load("a").unwrap(), stored(&[("1", "one"), ("2", "two")]));
    assert_eq!(copied.get("b", b"1").unwrap().unwrap().len(), 3 << 20);
    assert_eq!(original.load("a").unwrap(), stored(&[("1", "one"), ("2", "later"), ("3", "later")]));
    assert!(Backup::begin(&copy).err().unwrap().to_string().contains("there is something already"));
    drop(Backup::begin(&folder.path().join("given up")).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_damaged_store_is_named_and_set_aside_by_order_alone() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("documents");
    assert!(matches!(set_aside(&folder, UNIX_EPOCH), Err(SetAsideError::Absent(_))));
    let first = store(&folder);
    first.commit("a", &[row("1", "one")]).unwrap();
    assert!(matches!(set_aside(&folder, UNIX_EPOCH), Err(SetAsideError::Store(StoreError::InUse(_)))));
    drop(first);
    assert!(matches!(set_aside(&folder, UNIX_EPOCH), Err(SetAsideError::Sound(_))));
    for file in files(&folder) {
        let mut opened = OpenOptions::new().write(true).open(&file).unwrap();
        opened.seek(SeekFrom::Start(0)).unwrap();
        opened.write_all(&[0xA5; 64]).unwrap();
    }
    let before = files(&folder);
    let error = store(&folder).load("a").unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("set-aside"), "{error}");
    assert_eq!(files(&folder), before, "nothing was taken away");
    let aside = set_aside(&folder, UNIX_EPOCH).unwrap();
    assert_eq!(aside, above.path().join("documents.damaged-1970-01-01T00-00-00Z"));
    assert_eq!((aside.exists(), folder.exists()), (true, false));
    assert_eq!(store(&folder).load("a").unwrap(), Vec::new());
}
