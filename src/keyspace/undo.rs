//! Before-images: how a leader takes back what it executed ahead and Raft did not commit.

use crate::data::{Small, Str};

use super::value::{Entry, Value};
use super::{Db, Keyspace, digest, garbage, streams};

/// The inverse of one step. Undone in the reverse order of execution, they restore the data, the
/// digest and the generation counter exactly (the counter is restored by the batch).
pub enum Undo {
    /// The key held this, or nothing.
    Entry {
        db: u32,
        key: Small,
        entry: Option<Box<Entry>>,
    },
    /// A short string was overwritten where it is by one of the same length: its bytes, which are the last of the
    /// batch's images.
    StrBytes {
        db: u32,
        key: Small,
        expire_at: u64,
        len: usize,
    },
    /// A short string was replaced by another.
    Str {
        db: u32,
        key: Small,
        expire_at: u64,
        was: Str,
    },
    /// A value moved here; what it replaced.
    Rename {
        db: u32,
        key: Small,
        to_db: u32,
        to: Small,
        replaced: Option<Box<Entry>>,
    },
    /// A long string held these bytes from `offset` on, and was `old_len` long.
    LongRange {
        db: u32,
        key: Small,
        offset: usize,
        was: Box<[u8]>,
        old_len: usize,
    },
    Expire {
        db: u32,
        key: Small,
        at: u64,
    },
    Db {
        db: u32,
        was: Box<Db>,
    },
    SwapDb {
        a: u32,
        b: u32,
    },
    HashField {
        db: u32,
        key: Small,
        field: Box<[u8]>,
        was: Option<Box<[u8]>>,
    },
    SetMember {
        db: u32,
        key: Small,
        member: Box<[u8]>,
        was: bool,
    },
    ZSetMember {
        db: u32,
        key: Small,
        member: Box<[u8]>,
        was: Option<f64>,
    },
    /// A list was pushed to: pop.
    ListPushed {
        db: u32,
        key: Small,
        front: bool,
    },
    /// A list was popped: push back, in the order in which they were popped.
    ListPopped {
        db: u32,
        key: Small,
        front: bool,
        values: Vec<Box<[u8]>>,
    },
    ListSet {
        db: u32,
        key: Small,
        index: usize,
        was: Box<[u8]>,
    },
    ListInserted {
        db: u32,
        key: Small,
        index: usize,
        first_pos: i64,
    },
    ListRemoved {
        db: u32,
        key: Small,
        index: usize,
        was: Box<[u8]>,
        first_pos: i64,
    },
    /// A step of a stream.
    Stream {
        db: u32,
        key: Small,
        step: streams::Step,
    },
    /// An entry of a table beside the databases had this value, or was not there.
    System {
        table: u8,
        name: Box<[u8]>,
        was: Option<bytes::Bytes>,
    },
}

impl Undo {
    fn objects(&self) -> u64 {
        match self {
            Undo::Entry {
                entry: Some(was), ..
            }
            | Undo::Rename {
                replaced: Some(was),
                ..
            } => garbage::objects_of(was),
            // Each key counts, as in Redis.
            Undo::Db { was, .. } => was.table.len() as u64,
            _ => 0,
        }
    }
}

/// The steps of a batch, in the order of their execution.
#[derive(Default)]
pub struct Undos {
    steps: Vec<Undo>,
    /// What [`Undo::StrBytes`] writes back, end to end: no allocation and no release for each of the strings.
    images: Vec<u8>,
    /// The large values in the steps.
    objects: u64,
}

impl Undos {
    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many large values the steps have, which are freed with them.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    pub(super) fn push(&mut self, step: Undo) {
        self.objects += step.objects();
        self.steps.push(step);
    }

    /// Notes the bytes of a string that is about to be overwritten.
    pub(super) fn push_bytes(&mut self, db: u32, key: &[u8], expire_at: u64, bytes: &[u8]) {
        self.images.extend_from_slice(bytes);
        self.steps.push(Undo::StrBytes {
            db,
            key: Small::new(key),
            expire_at,
            len: bytes.len(),
        });
    }
}

impl Keyspace {
    /// Takes back the steps of a batch, the last one first.
    pub fn undo(&mut self, mut steps: Undos) {
        self.undo_down_to(&mut steps, 0);
    }

    /// Takes back the last steps of a batch, so that the first `len` are left.
    pub fn undo_down_to(&mut self, undos: &mut Undos, len: usize) {
        while undos.steps.len() > len
            && let Some(step) = undos.steps.pop()
        {
            undos.objects -= step.objects();
            self.undo_one(step, &mut undos.images);
        }
    }

    fn undo_one(&mut self, step: Undo, images: &mut Vec<u8>) {
        match step {
            Undo::StrBytes {
                db,
                key,
                expire_at,
                len,
            } => {
                let from = images.len() - len;
                self.restore_str(db, &key, expire_at, |str| {
                    str.overwrite(&images[from..]);
                });
                images.truncate(from);
            }
            Undo::Str {
                db,
                key,
                expire_at,
                was,
            } => {
                self.restore_str(db, &key, expire_at, |str| *str = was);
            }
            Undo::Entry { db, key, entry } => {
                self.take_entry(db, key.as_bytes());
                if let Some(entry) = entry {
                    self.put_entry(db, entry);
                }
            }
            Undo::Rename {
                db,
                key,
                to_db,
                to,
                replaced,
            } => {
                if let Some(mut entry) = self.take_entry(to_db, to.as_bytes()) {
                    entry.key = key;
                    self.put_entry(db, entry);
                }
                if let Some(entry) = replaced {
                    self.put_entry(to_db, entry);
                }
            }
            Undo::LongRange {
                db,
                key,
                offset,
                was,
                old_len,
            } => {
                self.change(db, key.as_bytes(), |entry| {
                    if let Value::Long(c) = &mut entry.value {
                        c.data.set_range(offset, &was);
                        c.data.truncate(old_len);
                    }
                    digest::resum(&mut entry.value);
                });
            }
            Undo::Expire { db, key, at } => self.set_expiry(db, key.as_bytes(), at),
            Undo::Db { db, was } => self.dbs[db as usize] = *was,
            Undo::SwapDb { a, b } => self.dbs.swap(a as usize, b as usize),
            Undo::System { table, name, was } => {
                self.system.set(table, &name, was);
            }
            Undo::HashField {
                db,
                key,
                field,
                was,
            } => {
                let limits = self.limits;
                self.change(db, key.as_bytes(), |entry| {
                    let Value::Hash(c) = &mut entry.value else {
                        return;
                    };
                    let now = match &was {
                        Some(value) => c.data.set(&field, value, &limits),
                        None => c.data.remove(&field),
                    };
                    let element = |v: &Option<Box<[u8]>>| {
                        v.as_ref().map_or(0, |v| digest::element(&[&field, v]))
                    };
                    c.sum = c
                        .sum
                        .wrapping_sub(element(&now))
                        .wrapping_add(element(&was));
                });
            }
            Undo::SetMember {
                db,
                key,
                member,
                was,
            } => {
                let limits = self.limits;
                self.change(db, key.as_bytes(), |entry| {
                    let Value::Set(c) = &mut entry.value else {
                        return;
                    };
                    if was {
                        c.data.insert(&member, &limits);
                        c.sum = c.sum.wrapping_add(digest::element(&[&member]));
                    } else {
                        c.data.remove(&member);
                        c.sum = c.sum.wrapping_sub(digest::element(&[&member]));
                    }
                });
            }
            Undo::ZSetMember {
                db,
                key,
                member,
                was,
            } => {
                let limits = self.limits;
                self.change(db, key.as_bytes(), |entry| {
                    let Value::ZSet(c) = &mut entry.value else {
                        return;
                    };
                    let now = match was {
                        Some(score) => c.data.insert(&member, score, &limits),
                        None => c.data.remove(&member),
                    };
                    let element =
                        |s: Option<f64>| s.map_or(0, |s| digest::zset_element(&member, s));
                    c.sum = c.sum.wrapping_sub(element(now)).wrapping_add(element(was));
                });
            }
            Undo::Stream { db, key, step } => {
                let limits = self.limits;
                self.change(db, key.as_bytes(), |entry| {
                    if let Value::Stream(c) = &mut entry.value {
                        step.undo(c, &limits);
                    }
                });
            }
            Undo::ListPushed { db, key, front } => self.change_list(db, &key, |list, limits| {
                if front {
                    list.pop_front(limits)
                } else {
                    list.pop_back(limits)
                };
            }),
            Undo::ListPopped {
                db,
                key,
                front,
                values,
            } => self.change_list(db, &key, |list, limits| {
                for value in values.iter().rev() {
                    if front {
                        list.push_front(value, limits)
                    } else {
                        list.push_back(value, limits)
                    }
                }
            }),
            Undo::ListSet {
                db,
                key,
                index,
                was,
            } => self.change_list(db, &key, |list, limits| {
                list.set(index, &was, limits);
            }),
            Undo::ListInserted {
                db,
                key,
                index,
                first_pos,
            } => self.change_list(db, &key, |list, limits| {
                list.remove(index, limits);
                list.set_first_pos(first_pos);
            }),
            Undo::ListRemoved {
                db,
                key,
                index,
                was,
                first_pos,
            } => self.change_list(db, &key, |list, limits| {
                list.insert(index, &was, limits);
                list.set_first_pos(first_pos);
            }),
        }
    }

    fn restore_str(&mut self, db: u32, key: &Small, expire_at: u64, f: impl FnOnce(&mut Str)) {
        self.change(db, key.as_bytes(), |entry| {
            if let Value::Str(str) = &mut entry.value {
                f(str);
            }
        });
        self.set_expiry(db, key.as_bytes(), expire_at);
    }

    /// Lists are undone rarely and their digests depend on positions: the sum is computed afresh.
    fn change_list(
        &mut self,
        db: u32,
        key: &Small,
        f: impl FnOnce(&mut crate::data::List, &crate::data::Limits),
    ) {
        let limits = self.limits;
        self.change(db, key.as_bytes(), |entry| {
            if let Value::List(c) = &mut entry.value {
                f(&mut c.data, &limits);
            }
            digest::resum(&mut entry.value);
        });
    }
}
