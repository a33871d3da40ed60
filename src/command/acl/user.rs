//! A user: whether it may log in and how, and its selectors.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::selector::Selector;
use super::{RuleError, is, merged};
use crate::base::limits::USER_RULES_LEN_MAX;

/// The password of `default` as the node's configuration has it: a hash, or none where every password is right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operator(Option<String>);

impl Operator {
    /// An empty password is none.
    pub fn new(password: &[u8]) -> Operator {
        Operator((!password.is_empty()).then(|| hash(password)))
    }
}

/// In a stored row: the configured password, or that none is needed where none is configured. ACL SETUSER does not
/// take it.
const OPERATOR: &[u8] = b"operator-password";

fn hash(password: &[u8]) -> String {
    hex::encode(Sha256::digest(password))
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: Bytes,
    pub enabled: bool,
    /// Every password is right.
    pub no_password: bool,
    pub skip_sanitize: bool,
    /// SHA-256 in lower-case hexadecimal.
    pub passwords: Vec<String>,
    /// The configured password is among them, or makes that none is needed.
    operator: Option<Operator>,
    /// The first is the root.
    pub selectors: Vec<Selector>,
    /// Nothing is denied.
    unrestricted: bool,
}

impl User {
    /// As ACL SETUSER makes one: off, without password, with no right but, where `all_channels` says so, to channels.
    pub fn new(name: &[u8], all_channels: bool) -> User {
        User {
            name: Bytes::copy_from_slice(name),
            enabled: false,
            no_password: false,
            skip_sanitize: false,
            passwords: Vec::new(),
            operator: None,
            selectors: vec![Selector::new(all_channels)],
            unrestricted: false,
        }
    }

    /// The user `default` as it is before anybody changes it: it may do everything.
    pub fn default_user(operator: &Operator) -> User {
        let mut user = User::new(b"default", true);
        user.enabled = true;
        user.trust(operator);
        for rule in ["~*", "+@all"] {
            // These two cannot fail.
            let _ = user.selectors[0].set(rule.as_bytes());
        }
        user.settle();
        user
    }

    fn trust(&mut self, operator: &Operator) {
        match &operator.0 {
            None => self.no_password = true,
            Some(hash) => self.passwords.push(hash.clone()),
        }
        self.operator = Some(operator.clone());
    }

    fn settle(&mut self) {
        self.unrestricted = self.selectors.iter().any(Selector::allows_all);
    }

    /// Whether nothing is denied to it.
    pub fn unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// From a stored row.
    ///
    /// # Errors
    /// A rule that this node does not know.
    pub fn parse(name: &[u8], row: &[u8], operator: &Operator) -> Result<User, RuleError> {
        let mut user = User::new(name, false);
        let ops: Vec<&[u8]> = row.split(|&b| b == b' ').collect();
        for op in merged(&ops).map_err(|_| RuleError::Syntax)? {
            if op == OPERATOR {
                user.trust(operator);
            } else {
                user.apply(&op, false)?;
            }
        }
        user.settle();
        Ok(user)
    }

    /// Applies one rule of ACL SETUSER. `all_channels`: what a new selector may do with channels.
    ///
    /// # Errors
    /// The rule makes no sense; nothing was changed.
    pub fn set(&mut self, op: &[u8], all_channels: bool) -> Result<(), RuleError> {
        self.apply(op, all_channels)?;
        self.settle();
        Ok(())
    }

    fn apply(&mut self, op: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match op {
            [] => {}
            _ if is(op, "on") => self.enabled = true,
            _ if is(op, "off") => self.enabled = false,
            _ if is(op, "skip-sanitize-payload") => self.skip_sanitize = true,
            _ if is(op, "sanitize-payload") => self.skip_sanitize = false,
            _ if is(op, "nopass") => {
                self.forget_passwords();
                self.no_password = true;
            }
            _ if is(op, "resetpass") => self.forget_passwords(),
            [b'>', password @ ..] => self.add_password(hash(password)),
            [b'#', given @ ..] => self.add_password(checked(given)?),
            [b'<', password @ ..] => self.remove_password(&hash(password))?,
            [b'!', given @ ..] => self.remove_password(&checked(given)?)?,
            [b'(', rules @ .., b')'] => {
                self.selectors.push(Selector::parse(rules, all_channels)?);
            }
            _ if is(op, "clearselectors") => self.selectors.truncate(1),
            _ if is(op, "reset") => {
                *self = User {
                    name: self.name.clone(),
                    ..User::new(b"", all_channels)
                };
            }
            _ => self.selectors[0].set(op)?,
        }
        Ok(())
    }

    fn forget_passwords(&mut self) {
        self.operator = None;
        self.no_password = false;
        self.passwords.clear();
    }

    fn add_password(&mut self, hash: String) {
        if self.no_password {
            self.operator = None;
        }
        self.no_password = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    fn remove_password(&mut self, hash: &str) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known == hash);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        if self.is_operators(hash) {
            self.operator = None;
        }
        Ok(())
    }

    fn is_operators(&self, hash: &str) -> bool {
        let operator = self.operator.as_ref();
        operator.is_some_and(|o| o.0.as_deref() == Some(hash))
    }

    /// Whether somebody with this password may log in as this user, in time that does not depend on the password.
    pub fn admits(&self, password: &[u8]) -> bool {
        let given = hash(password);
        let mut same = subtle::Choice::from(0);
        for known in &self.passwords {
            same |= known.as_bytes().ct_eq(given.as_bytes());
        }
        self.enabled && (self.no_password || bool::from(same))
    }

    /// Its flags, in Redis's order.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.no_password {
            flags.push("nopass");
        }
        flags.push(match self.skip_sanitize {
            true => "skip-sanitize-payload",
            false => "sanitize-payload",
        });
        flags
    }

    /// Its rules as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        self.rules(false)
    }

    /// Its rules as they are stored.
    ///
    /// # Errors
    /// They are longer than a user's may be, or do not say what they mean once they are written down (a pattern that
    /// ends in a parenthesis, within a selector).
    pub fn row(&self) -> Result<Vec<u8>, RuleError> {
        let row = self.rules(true);
        if row.len() > USER_RULES_LEN_MAX {
            return Err(RuleError::TooLong);
        }
        let operator = self.operator.clone().unwrap_or_default();
        match User::parse(&self.name, &row, &operator) {
            Ok(read) if read == *self => Ok(row),
            _ => Err(RuleError::Syntax),
        }
    }

    fn rules(&self, stored: bool) -> Vec<u8> {
        let mut text = Vec::new();
        let mut add = |part: &[u8]| {
            text.extend_from_slice(part);
            text.push(b' ');
        };
        let operator = stored && self.operator.is_some();
        for flag in self.flags() {
            // Whether none is needed is then for each node's configuration to say.
            if flag == "nopass" && operator {
                add(OPERATOR);
            } else {
                add(flag.as_bytes());
            }
        }
        for password in &self.passwords {
            if stored && self.is_operators(password) {
                add(OPERATOR);
            } else {
                add(format!("#{password}").as_bytes());
            }
        }
        for (i, selector) in self.selectors.iter().enumerate() {
            let rules = selector.describe(stored);
            if i == 0 {
                text.extend_from_slice(&rules);
            } else {
                text.extend_from_slice(b" (");
                text.extend_from_slice(&rules);
                text.push(b')');
            }
        }
        text
    }
}

fn checked(hash: &[u8]) -> Result<String, RuleError> {
    let digit = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    match std::str::from_utf8(hash) {
        Ok(text) if text.len() == 64 && hash.iter().all(digit) => Ok(text.into()),
        _ => Err(RuleError::BadHash),
    }
}
