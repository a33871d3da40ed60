//! The seam between the log and the disk: where a simulation or a test puts its faults.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The operations whose failure or loss the log must survive, or stop at.
pub trait Disk: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written to `file` durable (fdatasync).
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Takes `len` bytes of disk for `file` (fallocate).
    fn allocate(&self, file: &File, path: &Path, len: u64) -> io::Result<()>;
    /// Free bytes of the file system that holds `dir`, for users other than root.
    fn free(&self, dir: &Path) -> io::Result<u64>;
}

/// The operating system's.
pub struct Os;

impl Disk for Os {
    fn write_at(&self, file: &File, _: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File, _: &Path) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(file)?)
    }

    fn allocate(&self, file: &File, _: &Path, len: u64) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
            // Only reserves; a file system without it lets the writes allocate.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Makes the creation, renaming or deletion of a file in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
