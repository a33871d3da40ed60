//! The seam below the store: RocksDB, or what a simulation has in its place.
//!
//! Always, whoever implements it: what a directory holds is the effect of whole windows up to one position, and is on
//! disk when a call returns; after a crash at any moment either all of a window is there or none.

use std::path::Path;
use std::sync::Arc;

use super::window::Window;
use super::{Error, Position};

/// Opens directories.
pub trait Base: Send + Sync + 'static {
    /// Fills the empty directory `dir` with a store without rows, durably.
    fn create(&self, dir: &Path) -> Result<(), Error>;
    /// Opens `dir` for writing. Also the position that it holds, none if no window was ever written.
    fn open(&self, dir: &Path) -> Result<(Arc<dyn Directory>, Option<Position>), Error>;
    /// The position of `dir` by its own word, soon: what lies in its files is not read, nothing is changed.
    fn position(&self, dir: &Path) -> Result<Position, Error>;
    /// Reads the whole of `dir`, checks it, and changes nothing.
    fn verify(&self, dir: &Path) -> Result<Position, Error>;
}

/// Takes a row while all are read: false ends it.
pub type OnRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, String> + 'a;

/// An open directory.
pub trait Directory: Send + Sync {
    /// The directory.
    fn dir(&self) -> &Path;
    /// Writes all changes of `window` and the position after them, in one step.
    fn write(&self, window: &Window, at: &Position) -> Result<(), Error>;
    /// A consistent copy in the new directory `to`, on disk on return.
    fn checkpoint(&self, to: &Path) -> Result<(), Error>;
    /// Gives the rows from `from` on and before `to` in ascending order.
    fn scan(&self, from: &[u8], to: Option<&[u8]>, on_row: &mut OnRow<'_>) -> Result<(), Error>;
    /// Keys that divide the rows into parts of about the same size.
    fn cuts(&self) -> Result<Vec<Vec<u8>>, Error>;
    /// Runs that wait to be merged.
    fn runs(&self) -> u64;
    /// Size of all files, bytes.
    fn disk_bytes(&self) -> u64;
    /// Whether merging would free much; `data` is what the rows stand for, bytes.
    fn worth_merging(&self, data: u64) -> bool;
    /// Merges all runs. Blocks.
    fn merge_all(&self);
    /// Fails if merging in the background has failed.
    fn health(&self) -> Result<(), Error>;
    /// Ends background work.
    fn cancel(&self);
}
