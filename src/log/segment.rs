//! A segment file: its name, its header, its making.
//!
//! A segment appears under its name complete: header and zeros are on disk before it is renamed.
//! It is never written twice and never used again for another purpose.

use super::disk::{self, Disk};
use super::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where records begin: the header has a page of its own.
pub const FIRST: u32 = 4096;
/// The shortest segment that may be configured, bytes.
pub const LEN_MIN: u32 = 64 * 1024;
/// The longest, bytes: offsets have 32 bits and a margin.
pub const LEN_MAX: u32 = 1 << 30;

const MAGIC: &[u8; 8] = b"PONTLOG\n";
/// The version of the format that this code writes, and the only one so far that it reads.
const VERSION: u32 = 1;
const ZEROS: &[u8] = &[0; 256 * 1024];
/// Dirty zeros are synced in steps of this many bytes, so that a sync of the log beside them has not long to wait.
pub(super) const STEP: u32 = 1024 * 1024;

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The segment's number, from 1, without gaps.
    pub seq: u32,
    /// The length with which the file was made, bytes.
    pub len: u32,
    /// A random number that goes into the checksum of each head.
    pub salt: u64,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; FIRST as usize];
        page[..8].copy_from_slice(MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        page[16..20].copy_from_slice(&self.seq.to_le_bytes());
        page[20..24].copy_from_slice(&self.len.to_le_bytes());
        page[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(&page);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        page
    }

    fn decode(page: &[u8], path: &Path) -> Result<Header, Error> {
        let damage = |offset, what: &str| Err(Error::damage(path, offset, what));
        if page.len() < FIRST as usize {
            return damage(page.len() as u64, "the file ends within its header");
        }
        let u32_at = |at: usize| u32::from_le_bytes(page[at..at + 4].try_into().expect("4 bytes"));
        if &page[..8] != MAGIC {
            return damage(0u64, "the file does not begin as a log segment does");
        }
        let mut zeroed = page[..FIRST as usize].to_vec();
        zeroed[12..16].fill(0);
        let sound = u32_at(12) == crc32fast::hash(&zeroed);
        // The version is told first: another one may keep its checksum elsewhere.
        if u32_at(8) != VERSION && sound {
            return Err(Error::Version {
                file: path.into(),
                found: u32_at(8),
                known: VERSION,
            });
        }
        if !sound {
            return damage(0u64, "the header's checksum is wrong");
        }
        let salt = u64::from_le_bytes(page[24..32].try_into().expect("8 bytes"));
        Ok(Header {
            seq: u32_at(16),
            len: u32_at(20),
            salt,
        })
    }
}

/// The name of segment `seq` in `dir`.
pub(super) fn path(dir: &Path, seq: u32) -> PathBuf {
    dir.join(format!("{seq:010}.log"))
}

/// The numbers of the segments in `dir`, ascending. What was being made when the power went is
/// deleted.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut seqs = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".log.new") {
            fs::remove_file(entry.path())?;
        } else if let Some(seq) = name.strip_suffix(".log").and_then(|n| n.parse().ok()) {
            seqs.push(seq);
        }
    }
    seqs.sort_unstable();
    Ok(seqs)
}

/// Makes segment `seq`, of zeros that are on disk. `pause` is called after each [`STEP`].
pub(super) fn create(
    disk: &dyn Disk,
    dir: &Path,
    seq: u32,
    len: u32,
    pause: impl FnMut(),
) -> io::Result<(File, Header)> {
    let header = Header {
        seq,
        len,
        salt: rand::random(),
    };
    let path = path(dir, seq);
    let new = path.with_extension("log.new");
    let made = fill(disk, &new, header, pause);
    let file = match made {
        Ok(file) => file,
        Err(e) => {
            // Gives back the space that a full disk has none of; the error told is the first.
            let _ = fs::remove_file(&new);
            return Err(e);
        }
    };
    fs::rename(&new, &path)?;
    disk::sync_dir(dir)?;
    Ok((file, header))
}

fn fill(disk: &dyn Disk, path: &Path, header: Header, mut pause: impl FnMut()) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let len = u64::from(header.len);
    disk.allocate(&file, path, len)?;
    // Written, not only allocated: the first write to an allocated extent changes metadata, which
    // the sync of a reply would then have to wait for.
    disk.write_at(&file, path, &header.encode(), 0)?;
    let mut at = u64::from(FIRST);
    let mut synced = at;
    while at < len {
        let n = (len - at).min(ZEROS.len() as u64);
        disk.write_at(&file, path, &ZEROS[..n as usize], at)?;
        at += n;
        if at - synced >= u64::from(STEP) {
            disk.sync(&file, path)?;
            synced = at;
            pause();
        }
    }
    disk.sync(&file, path)?;
    Ok(file)
}

/// Reads a whole segment, and checks its header and length.
pub(super) fn load(dir: &Path, seq: u32) -> Result<(File, Header, Vec<u8>), Error> {
    let path = path(dir, seq);
    let io = |e| Error::io("read", &path, e);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(io)?;
    let mut data = Vec::with_capacity(file.metadata().map_err(io)?.len() as usize);
    file.read_to_end(&mut data).map_err(io)?;
    let header = Header::decode(&data, &path)?;
    if header.seq != seq {
        let what = format!("the header is that of segment {}", header.seq);
        return Err(Error::damage(&path, 16u64, what));
    }
    if data.len() != header.len as usize {
        let what = format!(
            "the file has {} bytes and was made with {}",
            data.len(),
            header.len
        );
        return Err(Error::damage(&path, data.len() as u64, what));
    }
    Ok((file, header, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_segment_loads_and_every_header_bit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (_, header) = create(&disk::Os, dir.path(), 3, LEN_MIN, || ()).unwrap();
        let (_, loaded, data) = load(dir.path(), 3).unwrap();
        assert_eq!(loaded, header);
        assert!(super::super::record::is_zero(&data[FIRST as usize..]));
        assert_eq!(list(dir.path()).unwrap(), [3]);
        for bit in (0..64 * 8).chain([FIRST as usize * 8 - 1]) {
            let mut page = data.clone();
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&page, Path::new("f")).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut page = Header {
            seq: 1,
            len: LEN_MIN,
            salt: 0,
        }
        .encode();
        page[8] = 9;
        page[12..16].fill(0);
        let crc = crc32fast::hash(&page);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        let e = Header::decode(&page, Path::new("f")).unwrap_err();
        assert!(
            matches!(
                e,
                Error::Version {
                    found: 9,
                    known: 1,
                    ..
                }
            ),
            "{e}"
        );
    }

    #[test]
    fn what_was_being_made_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0000000002.log.new"), b"x").unwrap();
        assert!(list(dir.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
