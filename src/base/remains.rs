//! Large files are removed here, so that the disk is given back in steps.
//!
//! Where a file system tells its disk what it no longer needs (ext4 with `discard`), the disk is told of a removed file
//! at once, and a sync of the log beside it waits for as long as that takes: 100 ms were seen for a merge's 200 MB. So
//! a file that nobody else has a name for is cut shorter and shorter by a thread of its own, and each cut is on
//! disk before the next. Its name is gone at once; after a crash the file system frees what is left.
//!
//! In a simulation, which has no threads, files are just removed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use super::limits;

/// What is given back at once, bytes.
const STEP: u64 = 4 * 1024 * 1024;
/// The pause after each step: with it, at most 200 MB/s are given back.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens `path` if it is large enough for its removal to be felt. Given to [`give_back`] once its name is gone.
pub fn hold(path: &Path) -> Option<File> {
    let file = File::options().write(true).open(path).ok()?;
    let meta = file.metadata().ok()?;
    (meta.is_file() && meta.len() > STEP).then_some(file)
}

/// Whether a file has no name any more.
pub fn is_nameless(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.nlink() == 0)
}

/// Removes the file `path`.
pub fn remove_file(path: &Path) -> io::Result<()> {
    let held = hold(path);
    fs::remove_file(path)?;
    held.into_iter().for_each(give_back);
    Ok(())
}

/// Removes the directory `dir` with all that is in it.
pub fn remove_dir_all(dir: &Path) -> io::Result<()> {
    let held: Vec<File> = match fs::read_dir(dir) {
        Ok(entries) => entries
            .filter_map(|entry| hold(&entry.ok()?.path()))
            .take(limits::REMAINS_MAX)
            .collect(),
        Err(_) => Vec::new(),
    };
    fs::remove_dir_all(dir)?;
    held.into_iter().for_each(give_back);
    Ok(())
}

/// Gives back what `file` takes, unless it still has a name. Soon, but not on return.
pub fn give_back(file: File) {
    static THREAD: OnceLock<Option<SyncSender<File>>> = OnceLock::new();
    if Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::CurrentThread) {
        return;
    }
    let thread = THREAD.get_or_init(|| {
        let (files, taken) = sync_channel::<File>(limits::REMAINS_MAX);
        let thread = std::thread::Builder::new().name("remains".into());
        let run = move || taken.iter().for_each(|file| shorten(&file));
        thread.spawn(run).ok().map(|_| files)
    });
    if let Some(files) = thread {
        // Where too many wait, this one is freed at once, as it would be without us.
        let _ = files.try_send(file);
    }
}

/// As far as it goes: what fails here is freed when the file is closed.
fn shorten(file: &File) {
    let Ok(meta) = file.metadata() else { return };
    let mut len = meta.len();
    while len > 0 && is_nameless(file) {
        len = len.saturating_sub(STEP);
        if file.set_len(len).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_name_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, vec![1; 2 * STEP as usize]).unwrap();
        fs::hard_link(&a, &b).unwrap();
        let file = hold(&a).unwrap();
        remove_file(&a).unwrap();
        assert!(!a.exists() && !is_nameless(&file));
        shorten(&file);
        assert_eq!(fs::metadata(&b).unwrap().len(), 2 * STEP);
        remove_file(&b).unwrap();
        assert!(is_nameless(&file));
        shorten(&file);
        assert_eq!(file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn small_files_and_missing_ones() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir_all(inner.join("deep")).unwrap();
        fs::write(inner.join("small"), b"x").unwrap();
        assert!(hold(&inner.join("small")).is_none());
        remove_dir_all(&inner).unwrap();
        assert!(!inner.exists());
        assert_eq!(
            remove_file(&inner).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(
            remove_dir_all(&inner).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
