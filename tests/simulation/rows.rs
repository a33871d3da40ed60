//! The store's files in place of RocksDB: one file of rows a directory, replaced as a whole by each window.
//!
//! Always, as RocksDB as the store uses it: a window is there with its position, durably, when `write` returns, or not at
//! all; and what was changed behind its back is found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pontoon::base::rows::RowOp;
use pontoon::store::base::{Base, Directory, OnRow};
use pontoon::store::{Error, Position, Window};
use xxhash_rust::xxh3::xxh3_64;

const FILE: &str = "rows";

/// Opens such directories.
pub struct Plain;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

struct Open {
    dir: PathBuf,
    rows: Mutex<Rows>,
}

fn io(dir: &Path, what: &str, e: &std::io::Error) -> Error {
    Error::Io {
        dir: dir.into(),
        what: format!("{what}: {e}"),
    }
}

fn damage(dir: &Path, what: &str) -> Error {
    Error::Damage {
        dir: dir.into(),
        what: what.into(),
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn store(dir: &Path, rows: &Rows, at: Option<&Position>) -> Result<(), Error> {
    let mut out = Vec::new();
    put(&mut out, &at.map(Position::encode).unwrap_or_default());
    for (key, value) in rows {
        put(&mut out, key);
        put(&mut out, value);
    }
    let sum = xxh3_64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    let new = dir.join("rows.new");
    std::fs::write(&new, out)
        .and_then(|()| std::fs::rename(&new, dir.join(FILE)))
        .map_err(|e| io(dir, "write", &e))
}

fn load(dir: &Path) -> Result<(Rows, Option<Position>), Error> {
    let bytes = std::fs::read(dir.join(FILE)).map_err(|e| damage(dir, &e.to_string()))?;
    let (bytes, sum) = bytes
        .split_last_chunk::<8>()
        .filter(|(bytes, sum)| xxh3_64(bytes) == u64::from_le_bytes(**sum))
        .ok_or_else(|| damage(dir, "its checksum is wrong"))?;
    let _ = sum;
    let mut rest = bytes;
    let mut take = || {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        rest = after;
        Some(part.to_vec())
    };
    let position = take().filter(|p| !p.is_empty());
    let position = position
        .map(|p| Position::decode(&p))
        .transpose()
        .map_err(|what| damage(dir, &what))?;
    let mut rows = Rows::new();
    while let (Some(key), Some(value)) = (take(), take()) {
        rows.insert(key, value);
    }
    Ok((rows, position))
}

impl Base for Plain {
    fn create(&self, dir: &Path) -> Result<(), Error> {
        store(dir, &Rows::new(), None)
    }

    fn open(&self, dir: &Path) -> Result<(Arc<dyn Directory>, Option<Position>), Error> {
        let (rows, position) = load(dir)?;
        let open = Open {
            dir: dir.into(),
            rows: Mutex::new(rows),
        };
        Ok((Arc::new(open), position))
    }

    fn position(&self, dir: &Path) -> Result<Position, Error> {
        self.verify(dir)
    }

    fn verify(&self, dir: &Path) -> Result<Position, Error> {
        load(dir)?
            .1
            .ok_or_else(|| damage(dir, "it holds no position"))
    }
}

impl Directory for Open {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn write(&self, window: &Window, at: &Position) -> Result<(), Error> {
        let mut rows = self.rows.lock();
        window.drain(|op| {
            match op {
                RowOp::Put { key, value } => drop(rows.insert(key.to_vec(), value.to_vec())),
                RowOp::Delete { key } => drop(rows.remove(key)),
                RowOp::DeleteRange { from, to } => {
                    rows.retain(|key, _| !(from <= key.as_slice() && key.as_slice() < to));
                }
            }
            Ok::<(), Error>(())
        })?;
        store(&self.dir, &rows, Some(at))
    }

    fn checkpoint(&self, to: &Path) -> Result<(), Error> {
        std::fs::create_dir(to)
            .and_then(|()| std::fs::copy(self.dir.join(FILE), to.join(FILE)))
            .map(drop)
            .map_err(|e| io(to, "copy", &e))
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, on_row: &mut OnRow<'_>) -> Result<(), Error> {
        for (key, value) in self.rows.lock().range(from.to_vec()..) {
            if to.is_some_and(|to| key.as_slice() >= to)
                || !on_row(key, value).map_err(Error::Row)?
            {
                break;
            }
        }
        Ok(())
    }

    fn cuts(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(Vec::new())
    }

    fn runs(&self) -> u64 {
        0
    }

    fn disk_bytes(&self) -> u64 {
        0
    }

    fn worth_merging(&self, _data: u64) -> bool {
        false
    }

    fn merge_all(&self) {}

    fn health(&self) -> Result<(), Error> {
        Ok(())
    }

    fn cancel(&self) {}
}
