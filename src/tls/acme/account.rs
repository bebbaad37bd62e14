//! The account at the authority: made once, kept, and made anew where the authority does not know it any more.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, ExternalAccountKey, NewAccount};
use tokio::sync::Mutex;
use tracing::info;

use super::client::AcmeClient;
use super::directory::DirectoryInfo;
use super::order::OrderError;
use super::store::{StorageLock, Store, StoreError};
use crate::tls::automatic::AcmeConfig;

/// Holds the storage, and lets one at a time make an account with an authority.
#[derive(Debug, Default)]
pub struct Registrar {
    held: Mutex<Option<Arc<StorageLock>>>,
    /// By the folder of the authority, a few in all: one that is slow keeps nobody from another.
    turns: Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>,
}

impl Registrar {
    /// The storage of `config`, taken at first and held until another one is asked for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store(&self, config: &AcmeConfig) -> Result<Store, StoreError> {
        let folder = config.folder().ok_or(StoreError::Nowhere)?;
        let mut held = self.held.lock().await;
        let lock = match held.as_ref().filter(|held| held.is_of(&folder)) {
            Some(lock) => Arc::clone(lock),
            None => {
                let lock = Arc::new(StorageLock::take(folder)?);
                *held = Some(Arc::clone(&lock));
                lock
            }
        };
        Store::open(config, lock)
    }

    /// The account, as kept, else a new one.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn account(&self, config: &AcmeConfig, client: &AcmeClient) -> Result<Account, OrderError> {
        let store = self.store(config).await?;
        // Whoever comes second finds what the first one made.
        let turn =
            Arc::clone(self.turns.lock().await.entry(config.authority_folder().unwrap_or_default()).or_default());
        let one_at_a_time = turn.lock().await;
        let directory = config.directory.url();
        if let Some(credentials) = store.account().and_then(|text| serde_json::from_str(&text).ok()) {
            drop(one_at_a_time);
            return Ok(Account::builder_with_http(client.boxed()).from_credentials(credentials).await?);
        }
        let binding = binding(config).map_err(OrderError::Failed)?;
        let contact = config.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let info = DirectoryInfo::ask(client, directory).await;
        let terms = info.ok().and_then(|info| info.terms).unwrap_or_else(|| "none".to_owned());
        let builder = Account::builder_with_http(client.boxed());
        let (account, credentials) = builder.create(&new, directory.to_owned(), binding.as_ref()).await?;
        store.keep_account(&serde_json::to_string(&credentials).unwrap_or_default())?;
        info!(authority = config.directory.host(), terms, "registered; [tls] domains is the consent to its terms");
        Ok(account)
    }

    /// Puts the account aside: the next one who asks gets a new one.
    pub async fn forget(&self, config: &AcmeConfig) {
        if let Ok(store) = self.store(config).await {
            store.forget_account();
        }
    }
}

fn binding(config: &AcmeConfig) -> Result<Option<ExternalAccountKey>, String> {
    let (Some(id), Some(file)) = (&config.eab_key_id, &config.eab_key_file) else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read the key of the account elsewhere, {}: {error}", file.display()))?;
    let key = BASE64_URL_SAFE_NO_PAD
        .decode(text.trim().trim_end_matches('='))
        .map_err(|error| format!("the key of the account elsewhere, {}, is not base64url: {error}", file.display()))?;
    Ok(Some(ExternalAccountKey::new(id.clone(), &key)))
}
