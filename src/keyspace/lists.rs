//! Applying mutations of lists.
//!
//! An element's row and digest carry its position, so an insertion or removal in the middle
//! rewrites the shorter side, as it moves in memory.

use crate::data::{List, Small};

use super::rows;
use super::undo::Undo;
use super::value::{Coll, Value};
use super::{Effects, Keyspace, digest};
use crate::base::rows::Rows;

impl Keyspace {
    pub(super) fn list_push(
        &mut self,
        db: u32,
        key: &[u8],
        front: bool,
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let (generation, position) = self.change_list_in(db, key, |c| {
            let position = if front {
                c.data.push_front(value, &limits);
                c.data.first_pos()
            } else {
                c.data.push_back(value, &limits);
                c.data.first_pos() + c.data.len() as i64 - 1
            };
            c.sum = c.sum.wrapping_add(digest::list_element(position, value));
            Some((c.generation, position))
        })?;
        rows::put_item(generation, position, value, &mut fx.rows);
        fx.undo_by(|| Undo::ListPushed {
            db,
            key: Small::new(key),
            front,
        });
        Some(())
    }

    pub(super) fn list_pop(
        &mut self,
        db: u32,
        key: &[u8],
        front: bool,
        count: usize,
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let keep = fx.undo.is_some();
        let rows = &mut fx.rows;
        let popped = self.change_list_in(db, key, |c| {
            if count > c.data.len() {
                return None;
            }
            let mut popped = Vec::new();
            for _ in 0..count {
                let position = if front {
                    c.data.first_pos()
                } else {
                    c.data.first_pos() + c.data.len() as i64 - 1
                };
                let value = if front {
                    c.data.pop_front(&limits)?
                } else {
                    c.data.pop_back(&limits)?
                };
                c.sum = c.sum.wrapping_sub(digest::list_element(position, &value));
                rows.delete(&rows::list_row(c.generation, position));
                if keep {
                    popped.push(value);
                }
            }
            Some(popped)
        })?;
        fx.undo_by(|| Undo::ListPopped {
            db,
            key: Small::new(key),
            front,
            values: popped,
        });
        Some(())
    }

    pub(super) fn list_set(
        &mut self,
        db: u32,
        key: &[u8],
        index: usize,
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let (was, generation, position) = self.change_list_in(db, key, |c| {
            if index >= c.data.len() {
                return None;
            }
            let position = c.data.first_pos() + index as i64;
            let was = c.data.set(index, value, &limits)?;
            c.sum = c
                .sum
                .wrapping_sub(digest::list_element(position, &was))
                .wrapping_add(digest::list_element(position, value));
            Some((was, c.generation, position))
        })?;
        rows::put_item(generation, position, value, &mut fx.rows);
        fx.undo_by(|| Undo::ListSet {
            db,
            key: Small::new(key),
            index,
            was,
        });
        Some(())
    }

    pub(super) fn list_insert(
        &mut self,
        db: u32,
        key: &[u8],
        index: usize,
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let rows = &mut fx.rows;
        let first_pos = self.change_list_in(db, key, |c| {
            if index > c.data.len() {
                return None;
            }
            let first_pos = c.data.first_pos();
            let low = index < c.data.len() / 2;
            let moved = if low { 0..index } else { index..c.data.len() };
            c.sum = c.sum.wrapping_sub(range_sum(&c.data, moved.clone()));
            c.data.insert(index, value, &limits);
            let moved = if low {
                0..index + 1
            } else {
                index..c.data.len()
            };
            c.sum = c.sum.wrapping_add(range_sum(&c.data, moved.clone()));
            put_range(c, moved, rows);
            Some(first_pos)
        })?;
        fx.undo_by(|| Undo::ListInserted {
            db,
            key: Small::new(key),
            index,
            first_pos,
        });
        Some(())
    }

    pub(super) fn list_remove(
        &mut self,
        db: u32,
        key: &[u8],
        index: usize,
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let rows = &mut fx.rows;
        let (was, first_pos) = self.change_list_in(db, key, |c| {
            let len = c.data.len();
            if index >= len {
                return None;
            }
            let first_pos = c.data.first_pos();
            let low = index < len / 2;
            c.sum = c.sum.wrapping_sub(range_sum(
                &c.data,
                if low { 0..index + 1 } else { index..len },
            ));
            let (was, _) = c.data.remove(index, &limits)?;
            let moved = if low { 0..index } else { index..len - 1 };
            c.sum = c.sum.wrapping_add(range_sum(&c.data, moved.clone()));
            let free = if low {
                first_pos
            } else {
                first_pos + len as i64 - 1
            };
            rows.delete(&rows::list_row(c.generation, free));
            put_range(c, moved, rows);
            Some((was, first_pos))
        })?;
        fx.undo_by(|| Undo::ListRemoved {
            db,
            key: Small::new(key),
            index,
            was,
            first_pos,
        });
        Some(())
    }

    fn change_list_in<R>(
        &mut self,
        db: u32,
        key: &[u8],
        f: impl FnOnce(&mut Coll<List>) -> Option<R>,
    ) -> Option<R> {
        self.change(db, key, |entry| match &mut entry.value {
            Value::List(c) => f(c),
            _ => None,
        })?
    }
}

fn range_sum(list: &List, range: std::ops::Range<usize>) -> u64 {
    let first = list.first_pos();
    let values = list.iter_from(range.start).take(range.len());
    range.clone().zip(values).fold(0u64, |sum, (i, v)| {
        sum.wrapping_add(digest::list_element(first + i as i64, v))
    })
}

fn put_range(c: &Coll<List>, range: std::ops::Range<usize>, rows: &mut Rows) {
    let first = c.data.first_pos();
    for (i, value) in range.clone().zip(c.data.iter_from(range.start)) {
        rows::put_item(c.generation, first + i as i64, value, rows);
    }
}
