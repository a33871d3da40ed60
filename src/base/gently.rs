//! A file that is written without holding up those who sync on the same disk.
//!
//! Always: what was written is on the disk but for the last few bytes, so that no sync has much to do.

use std::fs::File;
use std::io::{self, Write};

/// Writes into a file, and syncs it a little at a time.
pub struct Gently {
    file: File,
    every: u64,
    unsynced: u64,
}

impl Gently {
    /// Syncs after so many bytes each time.
    pub fn new(file: File, every: u64) -> Gently {
        Gently {
            file,
            every,
            unsynced: 0,
        }
    }

    /// All that was written is on the disk, and the file's length too.
    ///
    /// # Errors
    /// When it cannot be synced.
    pub fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Write for Gently {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.unsynced += n as u64;
        if self.unsynced >= self.every {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
