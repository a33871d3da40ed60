//! The archive of one service in an object store: a local folder, S3, Azure Blob or Google Cloud Storage.
//!
//! Always: a part is there whole before the manifest that names it; a manifest is never written over.

use std::collections::BTreeMap;
use std::path::Path as File;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};
use tokio::io::AsyncReadExt;

use super::Error;
use super::key::{DataKey, MasterKey};
use super::manifest::{self, Manifest, Part};

/// How much is read from and written to the store at once, bytes.
const PIECE: usize = 8 << 20;

/// The archive of a service.
pub struct Vault {
    store: Arc<dyn ObjectStore>,
    root: Path,
    service: String,
    pub(super) key: DataKey,
}

impl Vault {
    /// Opens the archive of `service` (its cluster's id) below `url`: a folder's path, or s3://bucket/path, az://, gs:// with
    /// what the provider's own environment variables say. With `make`, a service that has none yet gets one.
    ///
    /// # Errors
    /// When the store does not answer, the master key is another, or there is no archive.
    pub async fn open(
        url: &str,
        master: &MasterKey,
        service: &str,
        make: bool,
    ) -> Result<Vault, Error> {
        let (store, base) = store_of(url)?;
        let root = base.join(service);
        let at = root.clone().join("key");
        let key = match store.get(&at).await {
            Ok(found) => master.unwrap(&found.bytes().await?, service)?,
            Err(object_store::Error::NotFound { .. }) if make => {
                let key = DataKey::fresh();
                let wrapped = master.wrap(&key, service)?;
                // Not over another's, which came in between.
                let new = PutMode::Create.into();
                store.put_opts(&at, wrapped.into(), new).await?;
                key
            }
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::Reach(format!(
                    "{url} holds no archive of service {service}"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Vault {
            store,
            root,
            service: service.to_string(),
            key,
        })
    }

    /// The services that have an archive below `url`.
    pub async fn services(url: &str) -> Result<Vec<String>, Error> {
        let (store, base) = store_of(url)?;
        let below = store.list_with_delimiter(Some(&base)).await?;
        let names = below.common_prefixes.iter();
        Ok(names
            .filter_map(|p| p.filename().map(str::to_string))
            .filter(|name| name != super::CONSOLE)
            .collect())
    }

    /// Keeps something small under a name, sealed as parts are; what had that name before is replaced.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn keep(&self, name: &str, plain: &[u8]) -> Result<(), Error> {
        let mut sealed = Vec::new();
        super::part::seal(&self.key, name, plain, &mut sealed)
            .map_err(|e| Error::Io(name.into(), e))?;
        self.store.put(&self.at(name), sealed.into()).await?;
        Ok(())
    }

    /// What is kept under a name.
    ///
    /// # Errors
    /// When there is nothing, or it is not what was kept.
    pub async fn kept(&self, name: &str) -> Result<Vec<u8>, Error> {
        let sealed = self.store.get(&self.at(name)).await?.bytes().await?;
        let mut plain = Vec::new();
        super::part::open(&self.key, name, &sealed[..], &mut plain)?;
        Ok(plain)
    }

    /// The names under which something is kept, with when that was, Unix milliseconds, the newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn kept_names(&self, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        let below = self.store.list_with_delimiter(Some(&self.root)).await?;
        let named = below.objects.iter().filter_map(|o| {
            let name = o.location.filename()?.to_string();
            let at = u64::try_from(o.last_modified.timestamp_millis()).ok()?;
            name.starts_with(prefix).then_some((name, at))
        });
        let mut all: Vec<_> = named.collect();
        all.sort_unstable_by_key(|(_, at)| std::cmp::Reverse(*at));
        Ok(all)
    }

    /// Whose archive it is.
    pub fn service(&self) -> &str {
        &self.service
    }

    fn at(&self, name: &str) -> Path {
        name.split('/')
            .fold(self.root.clone(), |at, part| at.join(part))
    }

    /// The chain of manifests, checked. `seen` is the newest that is known to have been written.
    ///
    /// # Errors
    /// When it was tampered with, is not whole, or is older than `seen`.
    pub async fn chain(&self, seen: u64) -> Result<Vec<Manifest>, Error> {
        Ok(self.chain_and_hash(seen).await?.0)
    }

    /// The same, and the hash of the newest.
    async fn chain_and_hash(&self, seen: u64) -> Result<(Vec<Manifest>, String), Error> {
        let folder = self.at("manifest");
        let found: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        let mut stored = BTreeMap::new();
        for meta in found {
            let number = meta.location.filename().and_then(|n| n.parse::<u64>().ok());
            let Some(number) = number else {
                return Err(Error::Tampered(meta.location.to_string()));
            };
            let bytes = self.store.get(&meta.location).await?.bytes().await?;
            stored.insert(number, bytes.to_vec());
        }
        let newest = stored.values().next_back();
        let hash = newest.map_or(String::new(), |bytes| manifest::hash(bytes));
        let chain = manifest::read_chain(&self.key, &self.service, &stored, seen)?;
        Ok((chain, hash))
    }

    /// Adds a part, which lies sealed in `file`: the object first, then its manifest.
    pub(super) async fn add(&self, file: &File, part: Part) -> Result<Manifest, Error> {
        let (chain, previous) = self.chain_and_hash(0).await?;
        let at = self.at(&part.name);
        let failed = |e| Error::Io(file.display().to_string(), e);
        let mut sealed = tokio::fs::File::open(file).await.map_err(failed)?;
        let mut out = WriteMultipart::new(self.store.put_multipart(&at).await?);
        let mut piece = vec![0; PIECE];
        loop {
            let read = sealed.read(&mut piece).await.map_err(failed)?;
            if read == 0 {
                break;
            }
            out.write(&piece[..read]);
            out.wait_for_capacity(2).await?;
        }
        out.finish().await?;
        let before = chain.last();
        let manifest = Manifest {
            number: before.map_or(1, |m| m.number + 1),
            cluster: self.service.clone(),
            timeline: before.map_or(1, |m| m.timeline),
            previous,
            part,
        };
        let sealed = PutPayload::from(manifest.seal(&self.key)?);
        let at = self.at(&Manifest::name_of(manifest.number));
        let new = PutMode::Create.into();
        self.store.put_opts(&at, sealed, new).await?;
        Ok(manifest)
    }

    /// Removes what is not needed to restore any time from `from_ms` (Unix milliseconds) on, and what an attempt that was
    /// broken off left a day ago or earlier. How many parts went.
    ///
    /// # Errors
    /// When the chain is not sound (then nothing is removed), or the store fails.
    pub async fn prune(&self, seen: u64, from_ms: u64) -> Result<usize, Error> {
        let chain = self.chain(seen).await?;
        let keep = manifest::first_kept(&chain, from_ms).unwrap_or(0);
        let (old, kept): (Vec<_>, Vec<_>) = chain.iter().partition(|m| m.number < keep);
        // The oldest first: whatever is left is a chain, also where this is broken off.
        for manifest in &old {
            let at = self.at(&Manifest::name_of(manifest.number));
            self.store.delete(&at).await?;
        }
        let at = |all: &[&Manifest]| -> Vec<Path> {
            all.iter().map(|m| self.at(&m.part.name)).collect()
        };
        let (unnamed, named) = (at(&old), at(&kept));
        let found: Vec<_> = self
            .store
            .list(Some(&self.at("part")))
            .try_collect()
            .await?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let day_ago = i64::try_from(now.as_secs()).unwrap_or(i64::MAX) - 86_400;
        let mut gone = 0;
        for meta in found {
            // One that no manifest names may be about to get its own.
            let left = meta.last_modified.timestamp() < day_ago && !named.contains(&meta.location);
            if left || unnamed.contains(&meta.location) {
                self.store.delete(&meta.location).await?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Removes the archive: its key first, so that nothing of the rest can be read from then on.
    ///
    /// # Errors
    /// When the store fails; then it can be done again.
    pub async fn remove(url: &str, service: &str) -> Result<(), Error> {
        let (store, base) = store_of(url)?;
        let root = base.join(service);
        match store.delete(&root.clone().join("key")).await {
            Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => {
                return Err(error.into());
            }
            _ => {}
        }
        let found: Vec<_> = store.list(Some(&root)).try_collect().await?;
        for meta in found {
            store.delete(&meta.location).await?;
        }
        Ok(())
    }

    /// Brings a part into `file`, sealed as it is, and holds it against its description. `all` is the whole chain.
    ///
    /// # Errors
    /// When it is missing or not what was written.
    pub(super) async fn fetch(
        &self,
        part: &Part,
        all: &[Manifest],
        file: &File,
    ) -> Result<(), Error> {
        let found = match self.store.get(&self.at(&part.name)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::Missing(part.name.clone()));
            }
            Err(error) => return Err(error.into()),
        };
        let failed = |e| Error::Io(file.display().to_string(), e);
        let mut out = tokio::fs::File::create(file).await.map_err(failed)?;
        let (mut pieces, mut hash, mut len) = (found.into_stream(), manifest::Hasher::new(), 0u64);
        while let Some(piece) = pieces.try_next().await? {
            hash.update(&piece);
            len += piece.len() as u64;
            tokio::io::AsyncWriteExt::write_all(&mut out, &piece)
                .await
                .map_err(failed)?;
        }
        tokio::io::AsyncWriteExt::flush(&mut out)
            .await
            .map_err(failed)?;
        manifest::check_stored(part, &hash.finish(), len, all.iter().map(|m| &m.part))
    }
}

fn store_of(url: &str) -> Result<(Arc<dyn ObjectStore>, Path), Error> {
    if !url.contains("://") {
        let failed = |e| Error::Io(url.to_string(), e);
        std::fs::create_dir_all(url).map_err(failed)?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(url)?.with_fsync(true);
        return Ok((Arc::new(store), Path::default()));
    }
    // What talks to the provider takes the process's default; that there is one already is fine.
    let _ = rustls::crypto::CryptoProvider::install_default((*crate::tls::provider()).clone());
    let parsed = url::Url::parse(url).map_err(|e| Error::Reach(format!("{url}: {e}")))?;
    let (store, path) = object_store::parse_url_opts(&parsed, std::env::vars())?;
    Ok((store.into(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_removed_archive_is_gone_and_the_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let url = dir.path().display().to_string();
        let master = MasterKey::parse(&"ab".repeat(32)).unwrap();
        for service in ["one", "two"] {
            let vault = Vault::open(&url, &master, service, true).await.unwrap();
            let part = PutPayload::from_static(b"sealed");
            vault.store.put(&vault.at("part/x"), part).await.unwrap();
        }
        Vault::remove(&url, "one").await.unwrap();
        // Broken off in the middle, it is done again.
        Vault::remove(&url, "one").await.unwrap();
        let gone = Vault::open(&url, &master, "one", false).await;
        assert!(matches!(gone, Err(Error::Reach(_))));
        assert!(!dir.path().join("one/part/x").exists());
        Vault::open(&url, &master, "two", false).await.unwrap();
        assert!(dir.path().join("two/part/x").exists());
    }
}
