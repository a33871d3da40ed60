//! The flags that a script declares in its first line, and a function where it is registered.

/// What a script or function declared of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(u8);

/// The names of the flags, in the order in which Redis lists them.
const NAMES: [&str; 5] = [
    "no-writes",
    "allow-oom",
    "allow-stale",
    "no-cluster",
    "allow-cross-slot-keys",
];

impl Marks {
    /// Adds a flag by its name; says whether there is such.
    pub fn add(&mut self, name: &str) -> bool {
        let at = NAMES.iter().position(|n| *n == name);
        if let Some(at) = at {
            self.0 |= 1 << at;
        }
        at.is_some()
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = move |(at, name): (usize, &'static str)| (self.0 >> at & 1 == 1).then_some(name);
        NAMES.into_iter().enumerate().filter_map(set)
    }

    fn has(self, at: u8) -> bool {
        self.0 >> at & 1 == 1
    }

    /// It calls no command that writes.
    pub fn no_writes(self) -> bool {
        self.has(0)
    }

    /// It may run where memory is full; one that does not write may, too.
    pub fn runs_when_full(self) -> bool {
        self.has(0) || self.has(1)
    }

    /// It may grow the data where memory is full.
    pub fn allow_oom(self) -> bool {
        self.has(1)
    }

    /// It is not to run in a cluster.
    pub fn no_cluster(self) -> bool {
        self.has(3)
    }

    /// It may use keys of several slots.
    pub fn cross_slot(self) -> bool {
        self.has(4)
    }
}
