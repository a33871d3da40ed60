//! Which directory holds the store: a pointer file names it, and is replaced as a whole.
//!
//! Under the root stand `live` (the pointer), `data-N` (a RocksDB directory), and for a moment `new` (the
//! first one being made) or a replacement that is not live yet. Always: the pointer names a complete
//! directory; after a crash at any point the root opens as it was before or as it was to become.
//!
//! Making the first: make `new` completely, point to `data-1`, rename `new` to it. A pointer without
//! its directory is finished if `new` is there, and damage if not. Replacing: sync what was received, rename it to
//! `data-N`, point to it, remove the old.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Error;
use crate::base::remains;

const POINTER: &str = "live";
const POINTER_NEXT: &str = "live.next";
const NEW: &str = "new";
const PREFIX: &str = "data-";

/// The live directory under `root`, after finishing or clearing what a crash left half done; none where
/// no store was ever made.
pub fn find(root: &Path) -> Result<Option<PathBuf>, Error> {
    fs::create_dir_all(root).map_err(|e| Error::io(root, "create the directory", &e))?;
    let pointer = match fs::read_to_string(root.join(POINTER)) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io(root, "read the file \"live\"", &e)),
    };
    let found = match pointer {
        None => {
            if let Some(other) = directories(root)?.first() {
                return Err(Error::damage(
                    root,
                    format!(
                        "the file \"live\" is missing, yet there is {}",
                        other.display()
                    ),
                ));
            }
            None
        }
        Some(text) => {
            let name = text
                .strip_suffix('\n')
                .filter(|name| number(name).is_some());
            let Some(name) = name else {
                return Err(Error::damage(
                    root,
                    format!("the file \"live\" names no directory: {text:?}"),
                ));
            };
            let dir = root.join(name);
            if !dir.is_dir() {
                let new = root.join(NEW);
                if !new.is_dir() {
                    return Err(Error::damage(
                        root,
                        format!("the file \"live\" names {name}, which is missing"),
                    ));
                }
                rename(root, &new, &dir)?;
            }
            Some(dir)
        }
    };
    for leftover in directories(root)?
        .into_iter()
        .chain([root.join(NEW), root.join(POINTER_NEXT)])
        .filter(|dir| Some(dir) != found.as_ref())
    {
        remove(root, &leftover)?;
    }
    Ok(found)
}

/// Makes the first directory: `make` fills it completely and durably.
pub fn create(
    root: &Path,
    make: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    create_in_steps(root, make, |_| Ok(()))
}

/// Begins a replacement: syncs all of `received` and gives it the next name. Returns that directory,
/// which is not live yet.
pub fn adopt(root: &Path, received: &Path, live: &Path) -> Result<PathBuf, Error> {
    sync_tree(received)?;
    let next = live
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(number)
        .unwrap_or(0)
        + 1;
    let dir = root.join(format!("{PREFIX}{next}"));
    // Left by an earlier attempt of this process that failed before pointing to it.
    remove(root, &dir)?;
    rename(root, received, &dir)?;
    Ok(dir)
}

/// Makes `dir`, a directory directly under `root`, the live one.
pub fn point(root: &Path, dir: &Path) -> Result<(), Error> {
    let name = dir
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Error::damage(root, format!("{} has no name", dir.display())))?;
    let next = root.join(POINTER_NEXT);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&next)?;
        file.write_all(format!("{name}\n").as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| Error::io(root, "write the file \"live.next\"", &e))?;
    rename(root, &next, &root.join(POINTER))
}

/// Removes a file or a directory with all that is in it; that it is missing is fine.
pub fn remove(root: &Path, path: &Path) -> Result<(), Error> {
    let result = if path.is_dir() {
        remains::remove_dir_all(path)
    } else {
        remains::remove_file(path)
    };
    match result {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io(root, &format!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

/// Syncs every file in `dir`, the directory itself, and its entry in its parent.
pub fn sync_tree(dir: &Path) -> Result<(), Error> {
    let sync = || -> std::io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        File::open(dir)?.sync_all()?;
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    sync().map_err(|e| Error::io(dir, "sync the directory", &e))
}

fn create_in_steps(
    root: &Path,
    make: impl FnOnce(&Path) -> Result<(), Error>,
    mut step: impl FnMut(u32) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let new = root.join(NEW);
    let dir = root.join(format!("{PREFIX}1"));
    fs::create_dir(&new).map_err(|e| Error::io(root, "create the directory \"new\"", &e))?;
    step(1)?;
    make(&new)?;
    sync_tree(&new)?;
    step(2)?;
    point(root, &dir)?;
    step(3)?;
    rename(root, &new, &dir)?;
    Ok(dir)
}

/// Renames within `root` and syncs `root`, so that the new name is there after a power cut.
fn rename(root: &Path, from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to)
        .and_then(|()| File::open(root)?.sync_all())
        .map_err(|e| {
            Error::io(
                root,
                &format!("rename {} to {}", from.display(), to.display()),
                &e,
            )
        })
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

fn directories(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            if entry.file_name().to_str().and_then(number).is_some() {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    };
    read().map_err(|e| Error::io(root, "list the directory", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(dir: &Path, text: &str) -> Result<(), Error> {
        fs::write(dir.join("content"), text).map_err(|e| Error::io(dir, "fill", &e))
    }

    fn content(dir: &Path) -> String {
        fs::read_to_string(dir.join("content")).unwrap()
    }

    fn crash() -> Error {
        Error::Stopped("crash".into())
    }

    #[test]
    fn making_the_first_survives_a_crash_at_each_step() {
        for crash_at in 1..=4 {
            let temp = tempfile::tempdir().unwrap();
            let root = temp.path();
            assert_eq!(find(root).unwrap(), None);
            let made = create_in_steps(
                root,
                |dir| fill(dir, "first"),
                |step| {
                    if step == crash_at {
                        Err(crash())
                    } else {
                        Ok(())
                    }
                },
            );
            assert_eq!(made.is_ok(), crash_at == 4);
            match find(root).unwrap() {
                // The pointer was written: what it names is complete.
                Some(dir) => {
                    assert!(crash_at >= 3);
                    assert_eq!(content(&dir), "first");
                }
                None => {
                    assert!(crash_at < 3);
                    let dir = create(root, |dir| fill(dir, "again")).unwrap();
                    assert_eq!(find(root).unwrap(), Some(dir.clone()));
                    assert_eq!(content(&dir), "again");
                }
            }
        }
    }

    #[test]
    fn replacing_survives_a_crash_at_each_step() {
        for crash_at in 1..=4 {
            let temp = tempfile::tempdir().unwrap();
            let root = temp.path();
            let old = create(root, |dir| fill(dir, "old")).unwrap();
            let received = root.join("received");
            fs::create_dir(&received).unwrap();
            fill(&received, "new").unwrap();
            let replace = || -> Result<(), Error> {
                let step = |at: u32| if at == crash_at { Err(crash()) } else { Ok(()) };
                step(1)?;
                let dir = adopt(root, &received, &old)?;
                step(2)?;
                point(root, &dir)?;
                step(3)?;
                remove(root, &old)
            };
            assert_eq!(replace().is_ok(), crash_at == 4);
            let live = find(root).unwrap().unwrap();
            assert_eq!(content(&live), if crash_at < 3 { "old" } else { "new" });
            assert_eq!(directories(root).unwrap(), [live], "crash at {crash_at}");
        }
    }

    #[test]
    fn a_lost_or_senseless_pointer_is_damage() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let dir = create(root, |dir| fill(dir, "first")).unwrap();
        fs::remove_file(root.join(POINTER)).unwrap();
        assert!(find(root).unwrap_err().is_damage());
        fs::write(root.join(POINTER), "../elsewhere\n").unwrap();
        assert!(find(root).unwrap_err().is_damage());
        fs::write(root.join(POINTER), "data-").unwrap();
        assert!(find(root).unwrap_err().is_damage());
        fs::write(root.join(POINTER), "data-1\n").unwrap();
        assert_eq!(find(root).unwrap(), Some(dir.clone()));
        fs::remove_dir_all(dir).unwrap();
        assert!(find(root).unwrap_err().is_damage());
    }

    #[test]
    fn a_pointer_half_written_beside_the_old_one_is_cleared() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let dir = create(root, |dir| fill(dir, "first")).unwrap();
        fs::write(root.join(POINTER_NEXT), "dat").unwrap();
        assert_eq!(find(root).unwrap(), Some(dir));
        assert!(!root.join(POINTER_NEXT).exists());
    }
}
