//! What must outlive the process, on the disk: accounts, keys, chains, states. After a crash at any point it is either as
//! before or as after.
//!
//! ```text
//! acme/lock                                 held (flock) by the door that orders
//! acme/AUTHORITY/account.json
//! acme/AUTHORITY/NAME/state.json
//! acme/AUTHORITY/NAME/0007/privkey.pem      on the disk before the order is finalised
//! acme/AUTHORITY/NAME/0007/fullchain.pem
//! acme/AUTHORITY/NAME/live -> 0007          so that no chain meets the key of another
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::schedule::State;
use crate::disk;
use crate::tls::automatic::AcmeConfig;

const STATE: &str = "state.json";
const LIVE: &str = "live";
const KEY: &str = "privkey.pem";
const CHAIN: &str = "fullchain.pem";

/// The storage, held by this process alone for as long as this lives.
#[derive(Debug)]
pub struct StorageLock {
    folder: PathBuf,
    _held: File,
}

/// What is kept of one authority.
#[derive(Debug)]
pub struct Store {
    authority: PathBuf,
    _lock: Arc<StorageLock>,
}

/// The storage of one name.
#[derive(Debug)]
pub struct NameStore {
    folder: PathBuf,
}

/// The storage cannot be used: nothing is ordered then, since what cannot be kept would be ordered again and again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is neither a home nor a state folder to keep certificates in: give tls.acme.storage")]
    Nowhere,
    #[error("another door orders certificates into {}", .0.display())]
    Locked(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot write into {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

impl StorageLock {
    /// Takes the storage in `folder`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take(folder: PathBuf) -> Result<StorageLock, StoreError> {
        make_folder(&folder)?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(|source| StoreError::Unwritable { path, source })?;
        // The kernel lets go of it when the process ends, however that is.
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(StorageLock { folder, _held: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked(folder)),
            Err(error) => Err(StoreError::Unwritable { path: folder, source: error.into() }),
        }
    }

    /// Is it that of `folder`?
    pub fn is_of(&self, folder: &Path) -> bool {
        self.folder == folder
    }
}

impl Store {
    /// What is kept of the authority of `config`, in the storage that `lock` holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(config: &AcmeConfig, lock: Arc<StorageLock>) -> Result<Store, StoreError> {
        let authority = config.authority_folder().ok_or(StoreError::Nowhere)?;
        make_folder(&authority)?;
        Ok(Store { authority, _lock: lock })
    }

    /// The account's file, if there is one.
    pub fn account(&self) -> Option<String> {
        fs::read_to_string(self.authority.join("account.json")).ok()
    }

    /// Keeps the account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_account(&self, text: &str) -> Result<(), StoreError> {
        write(&self.authority.join("account.json"), text)
    }

    /// Puts an account aside that the authority does not know.
    pub fn forget_account(&self) {
        let file = self.authority.join("account.json");
        let _ = fs::rename(&file, file.with_extension("json.unknown"));
    }
}

impl NameStore {
    /// The storage of `domain`, there or not.
    ///
    /// # Errors
    /// [`StoreError::Nowhere`].
    pub fn of(config: &AcmeConfig, domain: &str) -> Result<NameStore, StoreError> {
        Ok(NameStore { folder: config.name_folder(domain).ok_or(StoreError::Nowhere)? })
    }

    /// Makes the folder, and sees that it can be written: before anything is ordered.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn probe(&self) -> Result<(), StoreError> {
        make_folder(&self.folder)?;
        let file = self.folder.join("probe");
        // As much as a key and a chain have.
        write(&file, &"x".repeat(16 * 1024))?;
        fs::remove_file(&file).map_err(|source| StoreError::Unwritable { path: file, source })
    }

    /// What was known before; one that cannot be understood counts as none.
    pub fn state(&self) -> Option<State> {
        serde_json::from_str(&fs::read_to_string(self.folder.join(STATE)).ok()?).ok()
    }

    /// Keeps the state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_state(&self, state: &State) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(state).unwrap_or_default();
        write(&self.folder.join(STATE), &text)
    }

    /// Puts the key of a new generation on the disk, and gives its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self, key: &str) -> Result<u64, StoreError> {
        let number = self.generations().last().map_or(1, |last| last + 1);
        let folder = self.generation(number);
        make_folder(&folder)?;
        write(&folder.join(KEY), key)?;
        sync(&self.folder)?;
        Ok(number)
    }

    /// The key of a generation.
    pub fn key(&self, number: u64) -> Option<String> {
        fs::read_to_string(self.generation(number).join(KEY)).ok()
    }

    /// Adds the chain to its key, and makes both what is used. All older generations but the one before go.
    ///
    /// # Errors
    /// [`StoreError`]; then what was used before is used still.
    pub fn commit(&self, number: u64, chain: &str) -> Result<(), StoreError> {
        let folder = self.generation(number);
        write(&folder.join(CHAIN), chain)?;
        let before = self.live();
        let (link, draft) = (self.folder.join(LIVE), self.folder.join("live.new"));
        let failed = |source| StoreError::Unwritable { path: link.clone(), source };
        let _ = fs::remove_file(&draft);
        symlink(format!("{number:04}"), &draft).map_err(failed)?;
        fs::rename(&draft, &link).map_err(failed)?;
        sync(&self.folder)?;
        for old in self.generations().into_iter().filter(|old| *old != number && Some(*old) != before) {
            let _ = fs::remove_dir_all(self.generation(old));
        }
        Ok(())
    }

    /// Is this generation the one in use?
    pub fn is_live(&self, number: u64) -> bool {
        self.live() == Some(number)
    }

    /// Takes what is in use at `other` into use here: its key and its chain, as a generation of our own.
    ///
    /// # Errors
    /// [`StoreError`]; then what was used before is used still.
    pub fn adopt(&self, other: &NameStore) -> Result<(), StoreError> {
        let live = other.folder.join(LIVE);
        let read = |name| {
            let path = live.join(name);
            fs::read_to_string(&path).map_err(|source| StoreError::Unreadable { path, source })
        };
        let (key, chain) = (read(KEY)?, read(CHAIN)?);
        let number = self.begin(&key)?;
        self.commit(number, &chain)
    }

    /// The chain in use.
    pub fn chain(&self) -> Option<Vec<u8>> {
        fs::read(self.folder.join(LIVE).join(CHAIN)).ok()
    }

    /// The key and the chain in use.
    pub fn pair(&self) -> Option<(String, String)> {
        let read = |name| fs::read_to_string(self.folder.join(LIVE).join(name)).ok();
        Some((read(KEY)?, read(CHAIN)?))
    }

    /// Takes away all that is kept of the name.
    pub fn clear(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn live(&self) -> Option<u64> {
        fs::read_link(self.folder.join(LIVE)).ok()?.to_str()?.parse().ok()
    }

    fn generation(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:04}"))
    }

    /// In order.
    fn generations(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut numbers: Vec<u64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// For nobody else to read.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StoreError::Unwritable { path: folder.to_owned(), source })
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    disk::sync(folder).map_err(|source| StoreError::Unwritable { path: folder.to_owned(), source })
}

/// Whole or not at all, for nobody else to read, and on the disk when this returns.
fn write(file: &Path, text: &str) -> Result<(), StoreError> {
    let written = disk::replace(file, text.as_bytes(), 0o600);
    written.map_err(|source| StoreError::Unwritable { path: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(folder: &Path) -> AcmeConfig {
        AcmeConfig { storage: Some(folder.join("acme")), ..AcmeConfig::default() }
    }

    #[test]
    fn generations_follow_each_other_and_one_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let store = NameStore::of(&config, "example.com").unwrap();
        store.probe().unwrap();
        for round in 1..=4 {
            let number = store.begin(&format!("key {round}")).unwrap();
            if round > 1 {
                assert_eq!(store.chain().unwrap(), format!("chain {}", round - 1).as_bytes(), "until it is committed");
            }
            assert_eq!(store.key(number).unwrap(), format!("key {round}"));
            store.commit(number, &format!("chain {round}")).unwrap();
            assert_eq!(store.chain().unwrap(), format!("chain {round}").as_bytes());
        }
        assert_eq!(store.generations(), [3, 4]);
        let key = store.generation(4).join(KEY);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join("acme")).unwrap().permissions().mode() & 0o777, 0o700);
        let pair = config.pair("example.com").unwrap();
        assert_eq!(fs::read_to_string(pair.key).unwrap(), "key 4");
        store.clear();
        assert!(!store.folder.exists());
    }

    #[test]
    fn key_without_chain_is_left_over_and_swept_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let store = NameStore::of(&config, "example.com").unwrap();
        store.probe().unwrap();
        store.begin("lost").unwrap();
        let second = store.begin("good").unwrap();
        store.commit(second, "chain").unwrap();
        assert_eq!(store.generations(), [2]);
    }

    #[test]
    fn one_door_orders_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let take = || StorageLock::take(folder.path().join("acme"));
        let held = take().unwrap();
        assert!(matches!(take(), Err(StoreError::Locked(_))));
        drop(held);
        take().unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("acme"), "a file").unwrap();
        let error = StorageLock::take(folder.path().join("acme")).unwrap_err();
        assert!(error.to_string().contains("cannot write into"), "{error}");
    }

    #[test]
    fn broken_state_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = NameStore::of(&config(folder.path()), "example.com").unwrap();
        store.probe().unwrap();
        assert_eq!(store.state(), None);
        store.keep_state(&State::new(0.25)).unwrap();
        assert_eq!(store.state(), Some(State::new(0.25)));
        fs::write(store.folder.join(STATE), "{\"fai").unwrap();
        assert_eq!(store.state(), None);
    }
}
