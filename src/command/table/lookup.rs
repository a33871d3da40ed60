//! From the words of a request to the command that they name.
//!
//! Invariants: case does not matter; nothing is allocated for a request that names a command; the
//! index is built when compiled, and no name probes more than a few slots of it.

use super::data::TABLE;
use super::{COUNT, SPECS, Spec};

/// A power of two, several times the number of names, so that probes stay short.
const SLOTS: usize = 2048;
/// An empty slot.
const NONE: u16 = u16::MAX;

/// Commands by name, open addressing. Subcommands are found through their container.
static INDEX: [u16; SLOTS] = {
    let mut index = [NONE; SLOTS];
    let mut i = 0;
    while i < COUNT {
        if TABLE[i].container.is_none() {
            let mut slot = hash(TABLE[i].full_name.as_bytes());
            while index[slot] != NONE {
                slot = (slot + 1) % SLOTS;
            }
            index[slot] = i as u16;
        }
        i += 1;
    }
    index
};

/// The longest command name, bytes.
const NAME_LEN_MAX: usize = {
    let (mut max, mut i) = (0, 0);
    while i < COUNT {
        if TABLE[i].container.is_none() && TABLE[i].full_name.len() > max {
            max = TABLE[i].full_name.len();
        }
        i += 1;
    }
    max
};

/// FNV-1a of the name in lower case, as a slot.
const fn hash(name: &[u8]) -> usize {
    let mut hash = 0x811c_9dc5_u32;
    let mut i = 0;
    while i < name.len() {
        hash = (hash ^ name[i].to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    (hash ^ (hash >> 16)) as usize % SLOTS
}

/// The command of that name, in any case; not a subcommand.
pub fn by_name(name: &[u8]) -> Option<&'static Spec> {
    if name.len() > NAME_LEN_MAX {
        return None;
    }
    let mut slot = hash(name);
    while INDEX[slot] != NONE {
        let spec = &SPECS[usize::from(INDEX[slot])];
        if spec.full_name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(spec);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// The command or subcommand of that full name (`get`, `config|get`), in any case.
pub fn by_full_name(name: &[u8]) -> Option<&'static Spec> {
    match name.iter().position(|&byte| byte == b'|') {
        None => by_name(name),
        Some(bar) => subcommand(by_name(&name[..bar])?, &name[bar + 1..]),
    }
}

fn subcommand(container: &'static Spec, name: &[u8]) -> Option<&'static Spec> {
    container
        .subcommands()
        .iter()
        .find(|spec| spec.name().as_bytes().eq_ignore_ascii_case(name))
}

/// A request that names no command. `message` is what its client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The first word is no command.
    Command,
    /// The first word is a container, the second none of its subcommands.
    Subcommand,
}

/// The command that a request names, its subcommand where it has some. A container alone (`CONFIG`)
/// is found as itself; its arity refuses it.
///
/// # Errors
/// There is no such command. Panics where there is no argument at all.
pub fn resolve(args: &[&[u8]]) -> Result<&'static Spec, Unknown> {
    let spec = by_name(args[0]).ok_or(Unknown::Command)?;
    match args.get(1) {
        Some(name) if !spec.subcommands().is_empty() => {
            subcommand(spec, name).ok_or(Unknown::Subcommand)
        }
        _ => Ok(spec),
    }
}

/// Bytes of a name or of arguments that an error quotes at most.
const QUOTED_LEN_MAX: usize = 128;

impl Unknown {
    /// The error reply, in Redis's words.
    pub fn message(self, args: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Subcommand => [
                b"ERR unknown subcommand '",
                quoted(args[1], QUOTED_LEN_MAX),
                b"'. Try ",
                &args[0].to_ascii_uppercase(),
                b" HELP.",
            ]
            .concat(),
            Self::Command => {
                let mut rest = Vec::new();
                for arg in args.iter().skip(1) {
                    if rest.len() >= QUOTED_LEN_MAX {
                        break;
                    }
                    let quoted = quoted(arg, QUOTED_LEN_MAX - rest.len());
                    rest.extend_from_slice(&[b"'", quoted, b"' "].concat());
                }
                let name = quoted(args[0], QUOTED_LEN_MAX);
                [
                    b"ERR unknown command '",
                    name,
                    b"', with args beginning with: ",
                    &rest,
                ]
                .concat()
            }
        }
    }
}

/// The error reply to a wrong number of arguments.
pub fn wrong_arity(spec: &Spec) -> String {
    format!(
        "ERR wrong number of arguments for '{}' command",
        spec.full_name
    )
}

/// What of a text is quoted: up to a NUL, as in Redis, and no more than `max` bytes.
fn quoted(text: &[u8], max: usize) -> &[u8] {
    let end = text
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(text.len());
    &text[..end.min(max)]
}

#[cfg(test)]
mod tests {
    use super::super::CommandId;
    use super::*;

    fn message(words: &[&str]) -> String {
        let args: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
        let unknown = resolve(&args).expect_err("no such command");
        String::from_utf8_lossy(&unknown.message(&args)).into_owned()
    }

    #[test]
    fn names_in_any_case() {
        assert_eq!(by_name(b"get").map(|spec| spec.id), Some(CommandId::Get));
        assert_eq!(by_name(b"GeT").map(|spec| spec.id), Some(CommandId::Get));
        assert_eq!(
            by_name(b"GEORADIUSBYMEMBER_RO").map(|spec| spec.id),
            Some(CommandId::GeoradiusbymemberRo)
        );
        for none in [&b""[..], b"gets", b"config|get", b"g\xe5t", &[b'a'; 1000]] {
            assert!(by_name(none).is_none());
        }
    }

    #[test]
    fn every_entry_is_found_by_its_name() {
        for spec in &SPECS {
            assert_eq!(
                by_full_name(spec.full_name.to_uppercase().as_bytes()),
                Some(spec)
            );
            assert_eq!(
                by_name(spec.full_name.as_bytes()).is_some(),
                spec.container.is_none()
            );
        }
    }

    #[test]
    fn probes_are_short() {
        let longest = INDEX.split(|&slot| slot == NONE).map(<[u16]>::len).max();
        assert!(longest <= Some(5), "a run of {longest:?} slots");
    }

    #[test]
    fn requests() {
        let find = |words: &[&str]| {
            let args: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
            resolve(&args).map(|spec| spec.full_name)
        };
        assert_eq!(find(&["get", "k"]), Ok("get"));
        assert_eq!(find(&["config"]), Ok("config"));
        assert_eq!(find(&["config", "GET", "x"]), Ok("config|get"));
        // Has subcommands and works without.
        assert_eq!(find(&["COMMAND"]), Ok("command"));
        assert_eq!(find(&["get", "get"]), Ok("get"));
    }

    #[test]
    fn messages() {
        assert_eq!(
            message(&["foo"]),
            "ERR unknown command 'foo', with args beginning with: "
        );
        assert_eq!(
            message(&["foo", "a", "b"]),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
        );
        assert_eq!(
            message(&["config", "foo"]),
            "ERR unknown subcommand 'foo'. Try CONFIG HELP."
        );
        let long = "x".repeat(200);
        assert_eq!(
            message(&[&long, &long, "b"]),
            format!(
                "ERR unknown command '{}', with args beginning with: '{}' ",
                &long[..128],
                &long[..128]
            )
        );
        assert_eq!(
            wrong_arity(CommandId::ConfigGet.spec()),
            "ERR wrong number of arguments for 'config|get' command"
        );
    }
}
