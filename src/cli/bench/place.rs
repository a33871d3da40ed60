//! The folders that a benchmark makes, on a real disk, and removes.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rand::Rng;
use rustix::fs::statfs;

/// `f_type` of file systems that are memory (statfs(2)): tmpfs and ramfs.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A folder with a name of its own. Dropped, it is removed with all that is in it.
#[derive(Debug)]
pub struct Scratch {
    /// Its absolute path.
    pub path: PathBuf,
}

/// Where that is.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The folder in which all data is kept for as long as it takes; not tmpfs
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

impl Place {
    /// See [`Scratch::on_disk`].
    ///
    /// # Errors
    /// The same.
    pub fn scratch(&self) -> anyhow::Result<Scratch> {
        Scratch::on_disk(&self.dir)
    }
}

impl Scratch {
    /// Makes one within `parent`.
    ///
    /// # Errors
    /// When `parent` is on tmpfs, where syncing costs nothing, or the folder cannot be made.
    pub fn on_disk(parent: &Path) -> anyhow::Result<Scratch> {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        let kind = statfs(parent)
            .with_context(|| parent.display().to_string())?
            .f_type as u64;
        if MEMORY_FILE_SYSTEMS.contains(&kind) {
            bail!(
                "{} is on a file system in memory (tmpfs), where fdatasync costs nothing; give --dir DIR on a disk",
                parent.display()
            );
        }
        Scratch::within(&parent.canonicalize()?)
    }

    /// Makes one for small files that need no disk.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary() -> anyhow::Result<Scratch> {
        Scratch::within(&std::env::temp_dir())
    }

    fn within(parent: &Path) -> anyhow::Result<Scratch> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("pontoon-bench-{:016x}", rand::rng().random::<u64>());
        let path = parent.join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| path.display().to_string())?;
        Ok(Scratch { path })
    }

    /// A folder in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_and_folders_are_removed() {
        let shm = Path::new("/dev/shm");
        if shm.exists() {
            let error = Scratch::on_disk(shm).unwrap_err().to_string();
            assert!(error.contains("tmpfs"), "{error}");
        }
        let scratch = Scratch::temporary().unwrap();
        let path = scratch.path.clone();
        std::fs::write(scratch.folder("a").unwrap().join("b"), "c").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
