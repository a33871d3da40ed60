//! What a part holds once it is opened.
//!
//! A base: files, each its name's length (u16), its name, its length (u64), its bytes. A log: entries, each term and
//! index (u64), kind (u8), length (u32), body. All big endian; the end is where nothing follows.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::base::limits;
use crate::log::{Entry, Id};

/// Begins a file of a base; its bytes follow.
pub fn file_head(name: &str, len: u64, out: &mut impl Write) -> io::Result<()> {
    let count = u16::try_from(name.len()).map_err(io::Error::other)?;
    out.write_all(&count.to_be_bytes())?;
    out.write_all(name.as_bytes())?;
    out.write_all(&len.to_be_bytes())
}

/// Writes an entry.
pub fn entry(entry: &Entry, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&entry.id.term.to_be_bytes())?;
    out.write_all(&entry.id.index.to_be_bytes())?;
    out.write_all(&[entry.kind])?;
    let len = u32::try_from(entry.body.len()).map_err(io::Error::other)?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(&entry.body)
}

/// False at the end.
fn fill(from: &mut (impl Read + ?Sized), buf: &mut [u8]) -> io::Result<bool> {
    let mut got = 0;
    while got < buf.len() {
        match from.read(&mut buf[got..])? {
            0 if got == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => got += n,
        }
    }
    Ok(true)
}

/// The next entry; none at the end.
pub fn read_entry(from: &mut (impl Read + ?Sized)) -> io::Result<Option<Entry>> {
    let mut head = [0; 21];
    if !fill(from, &mut head)? {
        return Ok(None);
    }
    let number = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().unwrap_or_default());
    let len = u32::from_be_bytes(head[17..21].try_into().unwrap_or_default()) as usize;
    if len > limits::ENTRY_LEN_MAX {
        return Err(io::Error::other(format!("an entry of {len} bytes")));
    }
    let mut body = vec![0; len];
    from.read_exact(&mut body)?;
    Ok(Some(Entry {
        id: Id {
            term: number(0),
            index: number(8),
        },
        kind: head[16],
        body: body.into(),
    }))
}

/// Writes the files of a base into the new directory `dir`, and syncs them.
pub fn unpack(from: &mut (impl Read + ?Sized), dir: &Path) -> io::Result<()> {
    std::fs::create_dir(dir)?;
    let mut count = [0; 2];
    let mut files = 0;
    while fill(from, &mut count)? {
        files += 1;
        let mut name = vec![0; u16::from_be_bytes(count).into()];
        from.read_exact(&mut name)?;
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
        let name = String::from_utf8(name).map_err(io::Error::other)?;
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(|b| plain(&b)) {
            return Err(io::Error::other(format!(
                "{name:?} is no name of a file of a base"
            )));
        }
        if files > limits::SNAPSHOT_FILES_MAX {
            return Err(io::Error::other("too many files"));
        }
        let mut len = [0; 8];
        from.read_exact(&mut len)?;
        let len = u64::from_be_bytes(len);
        let mut file = File::create_new(dir.join(name))?;
        if io::copy(&mut from.take(len), &mut file)? != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_cuts_are_noticed() {
        let one = |index| Entry {
            id: Id { term: 3, index },
            kind: 1,
            body: vec![index as u8; index as usize].into(),
        };
        let mut bytes = Vec::new();
        (0..5).for_each(|i| entry(&one(i), &mut bytes).unwrap());
        let mut from = &bytes[..];
        for i in 0..5 {
            assert_eq!(read_entry(&mut from).unwrap(), Some(one(i)));
        }
        assert_eq!(read_entry(&mut from).unwrap(), None);
        assert!(read_entry(&mut &bytes[..30]).is_ok());
        assert!(read_entry(&mut &bytes[21..40]).is_err());
    }

    #[test]
    fn files_stay_within_their_directory() {
        let dir = tempfile::tempdir().unwrap();
        let packed = |name: &str| {
            let mut bytes = Vec::new();
            file_head(name, 3, &mut bytes).unwrap();
            bytes.extend(b"abc");
            bytes
        };
        unpack(&mut &packed("000001.sst")[..], &dir.path().join("a")).unwrap();
        assert_eq!(
            std::fs::read(dir.path().join("a/000001.sst")).unwrap(),
            b"abc"
        );
        for (i, name) in ["../x", "", ".x", "a/b"].into_iter().enumerate() {
            let to = dir.path().join(format!("b{i}"));
            assert!(unpack(&mut &packed(name)[..], &to).is_err(), "{name:?}");
        }
        let cut = &packed("x")[..10];
        assert!(unpack(&mut &cut[..], &dir.path().join("c")).is_err());
    }
}
