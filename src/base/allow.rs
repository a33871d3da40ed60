//! An allow-list: addresses and blocks of them.
//!
//! Always: an empty list lets everybody in; an IPv4 address that comes mapped into IPv6 is the IPv4 address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::limits::ALLOWED_MAX;

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    base: IpAddr,
    /// How many of its first bits an address shares with it.
    bits: u8,
}

impl Block {
    fn parse(text: &str) -> Result<Block, String> {
        let wrong = || {
            format!(
                "'{text}' is neither an IP address nor a block such as 10.0.0.0/8 or 2001:db8::/32"
            )
        };
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let base = base.to_canonical();
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|b| *b <= most).ok_or_else(wrong)?,
        };
        let block = Block { base, bits };
        if number(base) & !block.mask() != 0 {
            let fits = Block {
                base: address(number(base) & block.mask(), base.is_ipv4()),
                bits,
            };
            return Err(format!(
                "'{text}' has bits beyond its length: {fits} is the block"
            ));
        }
        Ok(block)
    }

    fn mask(&self) -> u128 {
        let most = if self.base.is_ipv4() { 32 } else { 128 };
        let below = most - u32::from(self.bits);
        u128::MAX.checked_shl(below).unwrap_or(0)
    }

    fn holds(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.base.is_ipv4() && number(addr) & self.mask() == number(self.base)
    }
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    match v4 {
        true => IpAddr::V4((number as u32).into()),
        false => IpAddr::V6(number.into()),
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.base.is_ipv4() { 32 } else { 128 };
        match self.bits == most {
            true => write!(f, "{}", self.base),
            false => write!(f, "{}/{}", self.base, self.bits),
        }
    }
}

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow(Vec<Block>);

impl Allow {
    /// Addresses and blocks between spaces, commas or lines.
    ///
    /// # Errors
    /// For people: which of them is none, and what would be right.
    pub fn parse(text: &str) -> Result<Allow, String> {
        let parts = text.split(|c: char| c.is_whitespace() || c == ',');
        let mut blocks: Vec<Block> = Vec::new();
        for part in parts.filter(|p| !p.is_empty()) {
            let block = Block::parse(part)?;
            if !blocks.contains(&block) {
                blocks.push(block);
            }
        }
        if blocks.len() > ALLOWED_MAX {
            return Err(format!(
                "there are {} addresses and blocks, and at most {ALLOWED_MAX} are taken",
                blocks.len()
            ));
        }
        Ok(Allow(blocks))
    }

    /// Whether someone from there may connect.
    pub fn holds(&self, addr: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|b| b.holds(addr.to_canonical()))
    }

    /// The same of a client's `address:port`; what is no address is let in by nobody but an empty list.
    pub fn holds_client(&self, addr: &str) -> bool {
        self.0.is_empty() || addr.parse().is_ok_and(|a: SocketAddr| self.holds(a.ip()))
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, block) in self.0.iter().enumerate() {
            let space = if i > 0 { " " } else { "" };
            write!(f, "{space}{block}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_hold_what_they_name() {
        let allow = Allow::parse("10.1.0.0/16, 192.168.1.7\n2001:db8::/32").unwrap();
        for inside in [
            "10.1.255.9",
            "192.168.1.7",
            "2001:db8:ffff::1",
            "::ffff:10.1.2.3",
        ] {
            assert!(allow.holds(ip(inside)), "{inside}");
        }
        for outside in [
            "10.2.0.1",
            "192.168.1.8",
            "2001:db9::1",
            "::1",
            "::ffff:10.2.0.1",
        ] {
            assert!(!allow.holds(ip(outside)), "{outside}");
        }
        assert_eq!(allow.to_string(), "10.1.0.0/16 192.168.1.7 2001:db8::/32");
        assert!(Allow::default().holds(ip("8.8.8.8")));
        let all = Allow::parse("0.0.0.0/0").unwrap();
        assert!(all.holds(ip("8.8.8.8")) && !all.holds(ip("2001:db8::1")));
        let mapped = Allow::parse("::ffff:10.0.0.1").unwrap();
        assert!(
            mapped.holds(ip("10.0.0.1")),
            "one address, two ways to write it"
        );
    }

    #[test]
    fn clients_are_known_by_address_and_port() {
        let allow = Allow::parse("127.0.0.1 ::1").unwrap();
        assert!(allow.holds_client("127.0.0.1:6379") && allow.holds_client("[::1]:9"));
        assert!(!allow.holds_client("127.0.0.2:6379") && !allow.holds_client("what"));
    }

    #[test]
    fn what_is_no_block_is_refused_with_what_would_be_right() {
        let why = |text: &str| Allow::parse(text).unwrap_err();
        assert!(why("10.0.0.0/33").contains("10.0.0.0/8"));
        assert!(why("localhost").contains("neither an IP address"));
        assert!(why("10.0.0.5/8").contains("10.0.0.0/8 is the block"));
        assert!(why("2001:db8::1/32").contains("2001:db8::/32 is the block"));
        let many: Vec<String> = (0..=ALLOWED_MAX)
            .map(|n| format!("10.0.{}.{}", n / 256, n % 256))
            .collect();
        assert!(why(&many.join(" ")).contains("at most"));
    }
}
