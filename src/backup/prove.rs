//! The proof of a base: it is brought back, loaded as a node would load it, and its data has the digest that was recorded
//! when it was taken.

use std::path::Path;

use super::manifest::{Kind, Manifest};
use super::{Error, Vault, restore};
use crate::raft::state_machine;

/// Proves the newest base of the archive, or the one of manifest `number`, in a scratch folder below `scratch`. The base, and
/// how many keys it has.
///
/// # Errors
/// When there is none, a part is not what was written, or the data is not what was recorded.
pub async fn prove(
    vault: &Vault,
    seen: u64,
    number: Option<u64>,
    scratch: &Path,
) -> Result<(Manifest, u64), Error> {
    let chain = vault.chain(seen).await?;
    let mut bases = chain.iter().filter(|m| m.part.kind == Kind::Base);
    let base = match number {
        Some(number) => bases.find(|m| m.number == number),
        None => bases.next_back(),
    };
    let base = base.ok_or_else(|| Error::Reach("the archive has no such base".into()))?;
    let io = |e| Error::Io(scratch.display().to_string(), e);
    std::fs::create_dir_all(scratch).map_err(io)?;
    let dir = tempfile::tempdir_in(scratch).map_err(io)?;
    let (sealed, unpacked) = (dir.path().join("sealed"), dir.path().join("base"));
    restore::unpack(vault, base, &chain, &sealed, &unpacked).await?;
    let place = dir.path().to_path_buf();
    let loaded = tokio::task::spawn_blocking(move || state_machine::prove(&place, &unpacked));
    let loaded = loaded.await.map_err(|e| Error::Content(e.to_string()))?;
    let name = &base.part.name;
    let (digest, keys) = loaded.map_err(|e| Error::Content(format!("{name}: {e:#}")))?;
    let recorded = base.part.digest.as_deref().unwrap_or("");
    if recorded != hex::encode(digest.to_be_bytes()) {
        return Err(Error::Content(format!(
            "{name}: what is loaded has the digest {digest:032x}, and {recorded} was recorded"
        )));
    }
    Ok((base.clone(), keys))
}
