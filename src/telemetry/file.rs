//! A log file of bounded size: when it is full it becomes `FILE.1`, and the one before is gone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Appends to a file and starts it anew when it has grown to `len_max`.
pub struct Rotating {
    path: PathBuf,
    file: File,
    len: u64,
    len_max: u64,
}

impl Rotating {
    /// Opens `path` to append to it; its folder is made if needed.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, len_max: u64) -> io::Result<Rotating> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = append(path)?;
        let len = file.metadata()?.len();
        Ok(Rotating {
            path: path.to_owned(),
            file,
            len,
            len_max,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        std::fs::rename(&self.path, old)?;
        self.file = append(&self.path)?;
        self.len = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for Rotating {
    /// Writes a whole line, as the log formatter hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A file that cannot be replaced is written on: a long log is better than none.
        if self.len > 0 && self.len + line.len() as u64 > self.len_max && self.rotate().is_err() {
            self.len = 0;
        }
        self.file.write_all(line)?;
        self.len += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_hold_the_newest_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log").join("node.log");
        for n in 0..10 {
            // Opened again each time, as after a restart.
            let mut log = Rotating::open(&path, 25).unwrap();
            log.write_all(format!("line {n}    \n").as_bytes()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "line 8    \nline 9    \n"
        );
        let old = std::fs::read_to_string(dir.path().join("log/node.log.1")).unwrap();
        assert_eq!(old, "line 6    \nline 7    \n");
    }
}
