//! The arguments of one command, owned, in one allocation that they share with the bytes received.
//!
//! Invariant: every span lies within the frame. The first argument is the command's name.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::parse::Span;

/// A command's arguments; `args[0]` is its name. Cloning copies no argument.
#[derive(Clone, Default)]
pub struct Args {
    frame: Bytes,
    spans: SmallVec<[Span; 4]>,
}

impl Args {
    /// Spans of a frame. Panics where a span reaches beyond the frame.
    pub fn new(frame: Bytes, spans: &[Span]) -> Self {
        assert!(
            spans.iter().all(|span| span.end() <= frame.len()),
            "an argument beyond its frame"
        );
        Self {
            frame,
            spans: SmallVec::from_slice(spans),
        }
    }

    /// Copies arguments that are held elsewhere: scripts, tests, commands that call others.
    pub fn copy_from<T: AsRef<[u8]>>(args: impl IntoIterator<Item = T>) -> Self {
        let mut frame = BytesMut::new();
        let mut spans = SmallVec::new();
        for arg in args {
            let arg = arg.as_ref();
            spans.push(Span::new(frame.len(), arg.len()));
            frame.extend_from_slice(arg);
        }
        Self {
            frame: frame.freeze(),
            spans,
        }
    }

    /// The number of arguments, the name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True for no argument at all, not even a name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`, if there are that many.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.spans.get(index).map(|span| &self.frame[span.range()])
    }

    /// The argument at `index` as bytes that share this command's memory. What outlives the
    /// command should copy instead: a small argument would hold on to the whole frame.
    pub fn shared(&self, index: usize) -> Bytes {
        self.frame.slice(self.spans[index].range())
    }

    /// The arguments from `first` on as a request of their own (COMMAND GETKEYS, ACL DRYRUN). Copies
    /// no argument.
    pub fn tail(&self, first: usize) -> Self {
        Self {
            frame: self.frame.clone(),
            spans: SmallVec::from_slice(&self.spans[first..]),
        }
    }

    /// All arguments, the name first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator + Clone {
        self.spans.iter().map(|span| &self.frame[span.range()])
    }

    /// Bytes that all arguments take together, without framing.
    pub fn total_len(&self) -> usize {
        self.spans.iter().map(|span| span.len()).sum()
    }
}

impl std::ops::Index<usize> for Args {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        &self.frame[self.spans[index].range()]
    }
}

impl PartialEq for Args {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Args {}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|arg| arg.escape_ascii().to_string()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_back() {
        let args = Args::copy_from(["SET", "k", ""]);
        assert_eq!(args.len(), 3);
        assert_eq!(&args[0], b"SET");
        assert_eq!(args.get(2), Some(&b""[..]));
        assert_eq!(args.get(3), None);
        assert_eq!(args.shared(1), "k");
        assert_eq!(args.total_len(), 4);
        assert_eq!(args.iter().next_back(), Some(&b""[..]));
        assert_eq!(args, Args::copy_from([&b"SET"[..], b"k", b""]));
        assert_ne!(args, Args::copy_from(["SET", "k"]));
        assert_eq!(format!("{args:?}"), r#"["SET", "k", ""]"#);
        assert_eq!(args.tail(1), Args::copy_from(["k", ""]));
        assert!(Args::default().is_empty());
    }

    #[test]
    #[should_panic(expected = "beyond its frame")]
    fn a_span_beyond_the_frame_is_refused() {
        Args::new(Bytes::from_static(b"abc"), &[Span::new(2, 2)]);
    }
}
