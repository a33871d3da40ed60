//! Reading the smallest parts: bytes, lengths, strings, doubles.
//!
//! **Invariants.** The checksum and the count cover every byte that was taken. A string's memory grows with
//! the bytes that came, whatever length was declared; all that is decompressed for one value is bounded.

use std::io::Read;

use super::{Error, crc64, lzf};
use crate::base::limits::{BATCH_LEN_MAX, BULK_LEN_MAX};
use crate::data::View;

/// What a length says: one, or that an integer or compressed string follows.
enum Length {
    Plain(u64),
    Special(u8),
}

/// Bytes to read from: a payload, a file, a connection.
pub struct Input<R> {
    inner: R,
    checksum: u64,
    taken: u64,
    /// Bytes that strings of the current value may still become by decompression.
    room: usize,
}

impl<R: Read> Input<R> {
    /// At the first byte.
    pub fn new(inner: R) -> Self {
        Input {
            inner,
            checksum: 0,
            taken: 0,
            room: BATCH_LEN_MAX,
        }
    }

    /// The checksum of all that was taken.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// How many bytes were taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// A new value begins: what decompression may take is counted anew.
    pub fn next_value(&mut self) {
        self.room = BATCH_LEN_MAX;
    }

    /// What is behind what was taken.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn took(&mut self, bytes: &[u8]) {
        self.checksum = crc64::extend(self.checksum, bytes);
        self.taken += bytes.len() as u64;
    }

    /// That many bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.took(&bytes);
        Ok(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    /// That many bytes, if they come.
    pub fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Error> {
        if len > BULK_LEN_MAX as u64 {
            return Err(Error::TooLarge);
        }
        let mut bytes = Vec::new();
        (&mut self.inner).take(len).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < len {
            return Err(Error::Short);
        }
        self.took(&bytes);
        Ok(bytes)
    }

    fn form(&mut self) -> Result<Length, Error> {
        let first = self.byte()?;
        let low = u64::from(first & 0x3f);
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(low),
            (1, _) => Length::Plain(low << 8 | u64::from(self.byte()?)),
            (_, 0x80) => Length::Plain(u32::from_be_bytes(self.array()?).into()),
            (_, 0x81) => Length::Plain(u64::from_be_bytes(self.array()?)),
            (3, _) => Length::Special(first & 0x3f),
            _ => return Err(Error::Corrupt("a length")),
        })
    }

    /// A length or a count.
    pub fn count(&mut self) -> Result<u64, Error> {
        match self.form()? {
            Length::Plain(len) => Ok(len),
            Length::Special(_) => Err(Error::Corrupt("a string where a length belongs")),
        }
    }

    /// A string in whatever form.
    pub fn string(&mut self) -> Result<Vec<u8>, Error> {
        let int = match self.form()? {
            Length::Plain(len) => return self.bytes(len),
            Length::Special(0) => i8::from_le_bytes(self.array()?).into(),
            Length::Special(1) => i16::from_le_bytes(self.array()?).into(),
            Length::Special(2) => i32::from_le_bytes(self.array()?).into(),
            Length::Special(3) => return self.compressed(),
            Length::Special(_) => return Err(Error::Corrupt("a string's form")),
        };
        Ok(View::int(int).to_vec())
    }

    fn compressed(&mut self) -> Result<Vec<u8>, Error> {
        let (packed_len, len) = (self.count()?, self.count()?);
        let packed = self.bytes(packed_len)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > BULK_LEN_MAX || len > self.room {
            return Err(Error::TooLarge);
        }
        self.room -= len;
        lzf::decompress(&packed, len)
    }

    /// A double as eight bytes.
    pub fn double(&mut self) -> Result<f64, Error> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A double as text behind its length, as sorted sets had it before RDB version 8.
    pub fn double_text(&mut self) -> Result<f64, Error> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => {
                let text = self.bytes(len.into())?;
                let text = std::str::from_utf8(&text).ok();
                text.and_then(|t| t.parse().ok())
                    .ok_or(Error::Corrupt("a score"))
            }
        }
    }

    /// Eight bytes as an unsigned number, the lowest first.
    pub fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}
