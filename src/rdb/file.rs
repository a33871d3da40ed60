//! RDB files: what Redis writes to disk, and sends to a replica at first.
//!
//! **Invariants.** A reader gives the parts in their order and, where the file has a checksum, its last part
//! only if that is right. A writer's file has one.

use std::io::{self, Read, Write};

use super::input::Input;
use super::output::{put_len, put_string};
use super::{Error, VERSION, Value, ValueRef, crc64, decode, encode, kind};
use crate::data::Limits;

/// Files before this version have no checksum.
const SUMMED_FROM: u32 = 5;

/// A part of a file.
#[derive(Debug)]
pub enum Record {
    /// Something about the file: "redis-ver", "ctime" (seconds) and the like.
    About { name: Vec<u8>, value: Vec<u8> },
    /// A library of functions, its code.
    Function(Vec<u8>),
    /// A database begins: about this many keys follow, and so many of them expire.
    Size { db: u32, keys: u64, expires: u64 },
    /// A key.
    Key(Key),
    /// A key whose value cannot be kept, and why; the file goes on behind it.
    Skipped { db: u32, key: Vec<u8>, why: String },
    /// What a module wrote beside the keys.
    ModuleAux(String),
}

/// A key of a file.
#[derive(Debug)]
pub struct Key {
    pub db: u32,
    pub key: Vec<u8>,
    pub value: Value,
    /// When it expires, milliseconds since 1970; 0: never.
    pub expire_at: u64,
    /// Seconds that it was not used.
    pub idle: Option<u64>,
    /// Its counter of uses, where LFU counted.
    pub freq: Option<u8>,
}

/// Reads a file from its first byte to its last and no further.
pub struct Reader<R> {
    input: Input<R>,
    version: u32,
    db: u32,
    limits: Limits,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the file's head. Values get the encodings that `limits` say.
    ///
    /// # Errors
    /// When these are not the bytes of an RDB file.
    pub fn new(inner: R, limits: Limits) -> Result<Self, Error> {
        let mut input = Input::new(inner);
        let head: [u8; 9] = input.array()?;
        let version = head.strip_prefix(b"REDIS").ok_or(Error::NotRdb)?;
        let version = std::str::from_utf8(version)
            .ok()
            .and_then(|v| v.parse().ok());
        Ok(Reader {
            input,
            version: version.ok_or(Error::NotRdb)?,
            db: 0,
            limits,
            done: false,
        })
    }

    /// The version of the file's format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes read so far.
    pub fn taken(&self) -> u64 {
        self.input.taken()
    }

    /// What is behind the file.
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }

    /// The next part; `None` behind the last.
    ///
    /// # Errors
    /// When the file is cut or damaged, or has parts that no Redis up to 7.2 writes. It cannot be read further.
    pub fn next_record(&mut self) -> Result<Option<Record>, Error> {
        if self.done {
            return Ok(None);
        }
        let (mut expire_at, mut idle, mut freq) = (0, None, None);
        loop {
            let record = match self.input.byte()? {
                kind::AUX => Record::About {
                    name: self.input.string()?,
                    value: self.input.string()?,
                },
                kind::SELECT_DB => {
                    let db = self.input.count()?;
                    self.db = u32::try_from(db).map_err(|_| Error::Corrupt("a database"))?;
                    continue;
                }
                kind::RESIZE_DB => Record::Size {
                    db: self.db,
                    keys: self.input.count()?,
                    expires: self.input.count()?,
                },
                kind::EXPIRE_S => {
                    let seconds = u32::from_le_bytes(self.input.array()?);
                    expire_at = u64::from(seconds) * 1000;
                    continue;
                }
                kind::EXPIRE_MS => {
                    // Redis keeps it signed; what is before 1970 expired long ago.
                    expire_at = i64::from_le_bytes(self.input.array()?).max(1) as u64;
                    continue;
                }
                kind::IDLE => {
                    idle = Some(self.input.count()?);
                    continue;
                }
                kind::FREQ => {
                    freq = Some(self.input.byte()?);
                    continue;
                }
                kind::FUNCTION => Record::Function(self.input.string()?),
                kind::MODULE_AUX => Record::ModuleAux(decode::module_aux(&mut self.input)?),
                kind::EOF => {
                    self.check_sum()?;
                    self.done = true;
                    return Ok(None);
                }
                kind => {
                    let (db, key) = (self.db, self.input.string()?);
                    match decode::value(&mut self.input, kind, &self.limits) {
                        Ok(value) => Record::Key(Key {
                            db,
                            key,
                            value,
                            expire_at,
                            idle,
                            freq,
                        }),
                        Err(why @ (Error::Empty | Error::Module(_))) => Record::Skipped {
                            db,
                            key,
                            why: why.to_string(),
                        },
                        Err(e) => return Err(e),
                    }
                }
            };
            return Ok(Some(record));
        }
    }

    fn check_sum(&mut self) -> Result<(), Error> {
        if self.version < SUMMED_FROM {
            return Ok(());
        }
        let sum = self.input.checksum();
        // Zero: written with rdbchecksum no.
        match self.input.u64()? {
            0 => Ok(()),
            written if written == sum => Ok(()),
            _ => Err(Error::Checksum),
        }
    }
}

/// Writes a file.
pub struct Writer<W> {
    out: W,
    checksum: u64,
    written: u64,
    /// The database whose keys are being written.
    db: Option<u32>,
    piece: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the file's head, with these facts about it.
    ///
    /// # Errors
    /// When it cannot be written; so with the others.
    pub fn new(out: W, about: &[(&str, &str)]) -> io::Result<Self> {
        let mut writer = Writer {
            out,
            checksum: 0,
            written: 0,
            db: None,
            piece: format!("REDIS{VERSION:04}").into_bytes(),
        };
        for (name, value) in about {
            writer.piece.push(kind::AUX);
            put_string(&mut writer.piece, name.as_bytes());
            put_string(&mut writer.piece, value.as_bytes());
        }
        writer.flush_piece()?;
        Ok(writer)
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// A database's keys follow: about so many, of which so many expire.
    pub fn database(&mut self, db: u32, keys: u64, expires: u64) -> io::Result<()> {
        self.select(db);
        self.piece.push(kind::RESIZE_DB);
        put_len(&mut self.piece, keys);
        put_len(&mut self.piece, expires);
        self.flush_piece()
    }

    /// Parts as they stand in an opened payload of FUNCTION DUMP.
    pub fn functions(&mut self, parts: &[u8]) -> io::Result<()> {
        self.piece.extend_from_slice(parts);
        self.flush_piece()
    }

    /// A key with its value; `expire_at` 0: it never expires.
    pub fn key(
        &mut self,
        db: u32,
        key: &[u8],
        value: ValueRef<'_>,
        expire_at: u64,
        limits: &Limits,
    ) -> io::Result<()> {
        self.head(db, encode::kind(value), key, expire_at);
        encode::body(value, limits, &mut self.piece);
        self.flush_piece()
    }

    /// A key with its value as an opened payload of DUMP holds it.
    pub fn key_opened(
        &mut self,
        db: u32,
        key: &[u8],
        opened: &[u8],
        expire_at: u64,
    ) -> io::Result<()> {
        let (&kind, body) = opened.split_first().ok_or(io::ErrorKind::InvalidData)?;
        self.head(db, kind, key, expire_at);
        self.piece.extend_from_slice(body);
        self.flush_piece()
    }

    /// Writes the end with the checksum; gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.piece.push(kind::EOF);
        self.flush_piece()?;
        self.out.write_all(&self.checksum.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn select(&mut self, db: u32) {
        if self.db != Some(db) {
            self.db = Some(db);
            self.piece.push(kind::SELECT_DB);
            put_len(&mut self.piece, db.into());
        }
    }

    fn head(&mut self, db: u32, kind: u8, key: &[u8], expire_at: u64) {
        self.select(db);
        if expire_at != 0 {
            self.piece.push(kind::EXPIRE_MS);
            self.piece.extend_from_slice(&expire_at.to_le_bytes());
        }
        self.piece.push(kind);
        put_string(&mut self.piece, key);
    }

    fn flush_piece(&mut self) -> io::Result<()> {
        self.checksum = crc64::extend(self.checksum, &self.piece);
        self.written += self.piece.len() as u64;
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }
}
