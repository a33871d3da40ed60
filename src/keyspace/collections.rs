//! Applying mutations of hashes, sets and sorted sets: one element each.
//!
//! Each step changes the element, the collection's sum, its row and the undo together.

use crate::data::Small;

use super::rows;
use super::undo::Undo;
use super::value::Value;
use super::{Effects, Keyspace, digest};

impl Keyspace {
    pub(super) fn hash_set(
        &mut self,
        db: u32,
        key: &[u8],
        field: &[u8],
        value: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let (was, generation) = self.change(db, key, |entry| {
            let Value::Hash(c) = &mut entry.value else {
                return None;
            };
            let was = c.data.set(field, value, &limits);
            let old = was.as_ref().map_or(0, |v| digest::element(&[field, v]));
            c.sum = c
                .sum
                .wrapping_sub(old)
                .wrapping_add(digest::element(&[field, value]));
            Some((was, c.generation))
        })??;
        rows::put_element(generation, field, value, &mut fx.rows);
        fx.undo_by(|| Undo::HashField {
            db,
            key: Small::new(key),
            field: field.into(),
            was,
        });
        Some(())
    }

    pub(super) fn hash_del(
        &mut self,
        db: u32,
        key: &[u8],
        field: &[u8],
        fx: &mut Effects,
    ) -> Option<()> {
        let (was, generation) = self.change(db, key, |entry| {
            let Value::Hash(c) = &mut entry.value else {
                return None;
            };
            let was = c.data.remove(field)?;
            c.sum = c.sum.wrapping_sub(digest::element(&[field, &was]));
            Some((was, c.generation))
        })??;
        fx.rows.delete(&rows::element_row(generation, field));
        fx.undo_by(|| Undo::HashField {
            db,
            key: Small::new(key),
            field: field.into(),
            was: Some(was),
        });
        Some(())
    }

    pub(super) fn set_change(
        &mut self,
        db: u32,
        key: &[u8],
        member: &[u8],
        add: bool,
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let generation = self.change(db, key, |entry| {
            let Value::Set(c) = &mut entry.value else {
                return None;
            };
            let element = digest::element(&[member]);
            if add {
                if !c.data.insert(member, &limits) {
                    return None;
                }
                c.sum = c.sum.wrapping_add(element);
            } else {
                if !c.data.remove(member) {
                    return None;
                }
                c.sum = c.sum.wrapping_sub(element);
            }
            Some(c.generation)
        })??;
        if add {
            rows::put_element(generation, member, &[], &mut fx.rows);
        } else {
            fx.rows.delete(&rows::element_row(generation, member));
        }
        fx.undo_by(|| Undo::SetMember {
            db,
            key: Small::new(key),
            member: member.into(),
            was: !add,
        });
        Some(())
    }

    pub(super) fn zset_change(
        &mut self,
        db: u32,
        key: &[u8],
        member: &[u8],
        score: Option<f64>,
        fx: &mut Effects,
    ) -> Option<()> {
        let limits = self.limits;
        let Some((was, generation)) = self.change(db, key, |entry| {
            let Value::ZSet(c) = &mut entry.value else {
                return None;
            };
            // An equal score is kept as it is (0 and -0 are equal), so nothing may be noted for it.
            if score.is_some() && c.data.score(member) == score {
                return Some(None);
            }
            let was = match score {
                Some(score) => c.data.insert(member, score, &limits),
                None => Some(c.data.remove(member)?),
            };
            let element = |s: Option<f64>| s.map_or(0, |s| digest::zset_element(member, s));
            c.sum = c
                .sum
                .wrapping_sub(element(was))
                .wrapping_add(element(score));
            Some(Some((was, c.generation)))
        })??
        else {
            return Some(());
        };
        match score {
            Some(score) => {
                let score = score.to_bits().to_be_bytes();
                rows::put_element(generation, member, &score, &mut fx.rows);
            }
            None => fx.rows.delete(&rows::element_row(generation, member)),
        }
        fx.undo_by(|| Undo::ZSetMember {
            db,
            key: Small::new(key),
            member: member.into(),
            was,
        });
        Some(())
    }
}
