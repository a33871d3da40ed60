//! One object of the archive: zstd, then AES-256-GCM in the STREAM construction, chunk by chunk. Always: a
//! chunk is authenticated before it is decompressed, in its place, under the object's name; memory is one chunk.

use std::io::{self, Read, Write};

use aead_stream::{NewStream, StreamBE32, StreamPrimitive};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::Payload;

use super::Error;
use super::key::DataKey;

/// What every object begins with.
const MAGIC: &[u8; 8] = b"PTPART1\n";
/// Plain bytes of a chunk.
const CHUNK_LEN: usize = 64 << 10;
/// What authentication adds to a chunk.
const TAG_LEN: usize = 16;
/// How much zstd compresses: its own default.
const LEVEL: i32 = 3;

fn stream(key: &DataKey, salt: &[u8; 32]) -> StreamBE32<Aes256Gcm> {
    // The key is this object's alone, so the nonce may be zeros and the counter.
    StreamBE32::new(&key.derive(salt).into(), &Default::default())
}

/// Writes `plain` as the object `name` to `out`.
pub fn seal(key: &DataKey, name: &str, mut plain: impl Read, out: impl Write) -> io::Result<()> {
    let salt: [u8; 32] = rand::random();
    let mut sealer = Sealer {
        stream: stream(key, &salt),
        name,
        out,
        chunk: Vec::with_capacity(CHUNK_LEN),
        count: 0,
    };
    sealer.out.write_all(MAGIC)?;
    sealer.out.write_all(&salt)?;
    let mut zstd = zstd::Encoder::new(&mut sealer, LEVEL)?;
    io::copy(&mut plain, &mut zstd)?;
    zstd.finish()?;
    sealer.emit(true)?;
    sealer.out.flush()
}

struct Sealer<'a, W> {
    stream: StreamBE32<Aes256Gcm>,
    name: &'a str,
    out: W,
    chunk: Vec<u8>,
    count: u32,
}

impl<W: Write> Sealer<'_, W> {
    fn emit(&mut self, last: bool) -> io::Result<()> {
        let payload = Payload {
            msg: &self.chunk,
            aad: self.name.as_bytes(),
        };
        let sealed = self
            .stream
            .encrypt(self.count, last, payload)
            .map_err(|_| io::Error::other("the part is too large"))?;
        self.out.write_all(&sealed)?;
        self.chunk.clear();
        self.count = self
            .count
            .checked_add(1)
            .ok_or_else(|| io::Error::other("the part is too large"))?;
        Ok(())
    }
}

impl<W: Write> Write for Sealer<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until more comes: the last one is marked as such.
        if self.chunk.len() == CHUNK_LEN {
            self.emit(false)?;
        }
        let taken = bytes.len().min(CHUNK_LEN - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the object `name` back into `out`. What was written before an error is returned is authentic, but
/// not whole: the caller discards it.
pub fn open(
    key: &DataKey,
    name: &str,
    mut sealed: impl Read,
    out: impl Write,
) -> Result<(), Error> {
    let failed = |e| Error::Io(name.into(), e);
    let mut head = [0; 40];
    if read_full(&mut sealed, &mut head).map_err(failed)? < head.len() {
        return Err(Error::Truncated(name.into()));
    }
    let (magic, salt) = head.split_first_chunk::<8>().expect("40 bytes");
    let salt: &[u8; 32] = salt.try_into().expect("32 bytes");
    if magic != MAGIC {
        return Err(Error::Tampered(name.into()));
    }
    let stream = stream(key, salt);
    let mut zstd = zstd::stream::write::Decoder::new(out).map_err(failed)?;
    let (mut chunk, mut next) = (vec![0; CHUNK_LEN + TAG_LEN], vec![0; CHUNK_LEN + TAG_LEN]);
    let mut len = read_full(&mut sealed, &mut chunk).map_err(failed)?;
    for count in 0.. {
        let following = read_full(&mut sealed, &mut next).map_err(failed)?;
        let last = following == 0;
        let payload = |msg| Payload {
            msg,
            aad: name.as_bytes(),
        };
        let plain = stream
            .decrypt(count, last, payload(&chunk[..len]))
            .map_err(|_| {
                // A sound chunk that is not marked as the last one: the object ends early.
                let cut = last && stream.decrypt(count, false, payload(&chunk[..len])).is_ok();
                match cut || len < TAG_LEN {
                    true => Error::Truncated(name.into()),
                    false => Error::Tampered(name.into()),
                }
            })?;
        zstd.write_all(&plain).map_err(failed)?;
        if last {
            return zstd.flush().map_err(failed);
        }
        std::mem::swap(&mut chunk, &mut next);
        len = following;
    }
    Ok(())
}

/// Reads until `buffer` is full or the input ends; the bytes read.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match input.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        (0..len).map(|_| rand::random()).collect()
    }

    fn sealed(key: &DataKey, name: &str, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal(key, name, plain, &mut out).unwrap();
        out
    }

    fn opened(key: &DataKey, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        open(key, name, sealed, &mut out).map(|()| out)
    }

    #[test]
    fn any_length_comes_back() {
        let key = DataKey::fresh();
        for len in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 5 * CHUNK_LEN] {
            let plain = noise(len);
            assert_eq!(
                opened(&key, "p", &sealed(&key, "p", &plain)).unwrap(),
                plain
            );
        }
    }

    #[test]
    fn a_changed_cut_or_foreign_part_is_refused() {
        let key = DataKey::fresh();
        let whole = sealed(&key, "p", &noise(3 * CHUNK_LEN));
        for at in [0, 20, 40, 50_000, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(
                matches!(opened(&key, "p", &changed), Err(Error::Tampered(_))),
                "{at}"
            );
        }
        let chunk = CHUNK_LEN + TAG_LEN;
        for len in [0, 39, 40, 40 + chunk, 40 + 2 * chunk] {
            assert!(
                matches!(opened(&key, "p", &whole[..len]), Err(Error::Truncated(_))),
                "{len}"
            );
        }
        assert!(opened(&key, "p", &whole[..whole.len() - 1]).is_err());
        assert!(matches!(opened(&key, "q", &whole), Err(Error::Tampered(_))));
        assert!(matches!(
            opened(&DataKey::fresh(), "p", &whole),
            Err(Error::Tampered(_))
        ));
        // Two chunks exchanged.
        let mut exchanged = whole[..40].to_vec();
        exchanged.extend_from_slice(&whole[40 + chunk..40 + 2 * chunk]);
        exchanged.extend_from_slice(&whole[40..40 + chunk]);
        exchanged.extend_from_slice(&whole[40 + 2 * chunk..]);
        assert!(matches!(
            opened(&key, "p", &exchanged),
            Err(Error::Tampered(_))
        ));
    }
}
