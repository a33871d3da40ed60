//! Glob patterns as Redis matches them: KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET, ACL key patterns.
//!
//! Invariants: a pattern of more than a thousand stars matches nothing, as in Redis; work is bounded by pattern length × text length, since a star that matched once is
//! never reconsidered after a later one; bytes are compared as bytes; the corners (an empty text,
//! unclosed classes, escapes within them, order of range bounds, signed range bounds) are Redis's.

/// Whether `pattern` matches all of `text`: `*` any run, `?` one byte, `[a-c]` and `[^a-c]` one of
/// a class, `\` the next byte itself. No pattern but the empty one matches an empty text.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run::<false>(pattern, text)
}

/// As `matches`, with ASCII letters equal in both cases.
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    run::<true>(pattern, text)
}

/// Whether the pattern has no special byte, so that it matches itself alone.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern
        .iter()
        .any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// Runs of stars in a pattern beyond which Redis gives up.
const STARS_MAX: usize = 1000;

fn stars(pattern: &[u8]) -> usize {
    let begins = |w: &[u8]| w[1] == b'*' && w[0] != b'*';
    usize::from(pattern.first() == Some(&b'*')) + pattern.windows(2).filter(|w| begins(w)).count()
}

fn run<const NOCASE: bool>(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    if pattern.len() > STARS_MAX && stars(pattern) > STARS_MAX {
        return false;
    }
    let (mut p, mut t) = (0, 0);
    // The last star seen: the pattern after it, and the text from which that is tried next.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            while p < pattern.len() && pattern[p] == b'*' {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            star = Some((p, t));
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if p < pattern.len()
            && let Some(next) = one::<NOCASE>(pattern, p, text[t])
        {
            p = next;
            t += 1;
            continue;
        }
        match &mut star {
            Some((after, from)) => {
                *from += 1;
                (p, t) = (*after, *from);
            }
            None => return false,
        }
    }
}

/// Matches `byte` with the element of the pattern at `p`, which is no star; the position after it.
#[inline]
fn one<const NOCASE: bool>(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let same = |a: u8| {
        if NOCASE {
            a.eq_ignore_ascii_case(&byte)
        } else {
            a == byte
        }
    };
    match pattern[p] {
        b'?' => Some(p + 1),
        b'[' => class::<NOCASE>(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1]).then_some(p + 2),
        literal => same(literal).then_some(p + 1),
    }
}

/// Matches `byte` with the class whose first element is at `p`; an unclosed one ends with the pattern.
fn class<const NOCASE: bool>(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let fold = |b: u8| if NOCASE { b.to_ascii_lowercase() } else { b };
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match &pattern[p.min(pattern.len())..] {
            [] => break,
            // Redis compares what is escaped within a class in its own case always.
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                p += 2;
            }
            [b']', ..] => {
                p += 1;
                break;
            }
            [first, b'-', last, ..] => {
                // Bounds are signed bytes there, and ordered before they lose their case.
                let (first, last) = (*first as i8, *last as i8);
                let (low, high) = (first.min(last), first.max(last));
                let folded = fold(byte) as i8;
                found |= (fold(low as u8) as i8..=fold(high as u8) as i8).contains(&folded);
                p += 3;
            }
            [single, ..] => {
                found |= fold(*single) == fold(byte);
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} should match {text}"
            );
        }
        for text in no {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} should not match {text}"
            );
        }
    }

    #[test]
    fn stars_and_question_marks() {
        check("*", &["a", "abc", "\u{e9}"], &[""]);
        check("**", &["a"], &[""]);
        check("", &[""], &["a"]);
        check("h?llo", &["hello", "hallo"], &["hllo", "heello"]);
        check("h*llo", &["hllo", "heeello"], &["hlo"]);
        check("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a"]);
        check("a*", &["a", "ab"], &["ba", ""]);
        check("*.log", &["x.log", ".log", ".log.log"], &["x.logs"]);
        check("a?", &["ab"], &["a", "abc"]);
        check("*?", &["a", "ab"], &[]);
        check(
            "user:*:name",
            &["user:1:name", "user::name", "user:1:name:name"],
            &["user:name"],
        );
    }

    #[test]
    fn classes() {
        check("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]);
        check("h[^e]llo", &["hallo", "h^llo"], &["hello"]);
        check("h[a-b]llo", &["hallo", "hbllo"], &["hcllo", "h-llo"]);
        check("h[b-a]llo", &["hallo", "hbllo"], &["hcllo"]);
        check("[a", &["a"], &["b", "[a"]);
        check("[^", &["x"], &["xx"]);
        check("[]a", &[], &["a", "]a"]);
        check("[^]a", &["xa", "]a"], &["a"]);
        check(r"[\]]", &["]"], &[r"\"]);
        check(r"[a\-c]", &["a", "-", "c"], &["b"]);
        check("[a-c-]", &["b", "-"], &["d"]);
    }

    #[test]
    fn range_that_swallows_the_bracket_runs_to_the_end() {
        // `[a-]` is a range from 'a' down to ']', and then the class is unclosed.
        check("[a-]", &["a", "]", "^", "_", "`"], &["b", "-"]);
        check("[a-]x", &["a", "x", "]"], &["ax"]);
    }

    #[test]
    fn escapes() {
        check(r"\*", &["*"], &["a", r"\*"]);
        check(r"a\", &[r"a\"], &["a"]);
        check(r"\\", &[r"\"], &[r"\\"]);
        check(r"\[a]", &["[a]"], &["a"]);
        check(r"*\?", &["a?", "?"], &["ab"]);
    }

    #[test]
    fn case() {
        assert!(matches_nocase(b"HeL*", b"hElLo"));
        assert!(matches_nocase(b"[A-C]", b"b"));
        assert!(matches_nocase(b"[abc]", b"B"));
        assert!(matches_nocase(br"\A", b"a"));
        assert!(!matches_nocase(br"[\A]", b"a"));
        assert!(!matches(b"A", b"a"));
    }

    #[test]
    fn bytes_above_ascii_are_signed_in_ranges() {
        assert!(matches(b"[\x80-\xff]", b"\x90"));
        assert!(matches(b"[\xf0-a]", b"0"));
        assert!(!matches(b"[a-\xf0]", b"\xef"));
        assert!(matches(b"?", b"\xff"));
    }

    #[test]
    fn literal() {
        assert!(is_literal(b"user:1"));
        assert!(
            ["*", "a?", "[", "\\"]
                .iter()
                .all(|p| !is_literal(p.as_bytes()))
        );
    }

    /// Exponential matchers take years for this.
    #[test]
    fn hostile_patterns_end() {
        let text = vec![b'a'; 20_000];
        let pattern = [b"*a".repeat(500), b"*b".to_vec()].concat();
        assert!(!matches(&pattern, &text));
        assert!(matches(&b"*a".repeat(500), &text));
    }

    /// Redis's own recursion, written plainly, as the reference.
    fn reference(p: &[u8], t: &[u8]) -> bool {
        if p.is_empty() || t.is_empty() {
            return p.is_empty() && t.is_empty();
        }
        if p[0] == b'*' {
            let rest = &p[p.iter().position(|&b| b != b'*').unwrap_or(p.len())..];
            return rest.is_empty() || (0..t.len()).any(|i| reference(rest, &t[i..]));
        }
        let Some(next) = one::<false>(p, 0, t[0]) else {
            return false;
        };
        let rest = &p[next..];
        if t.len() == 1 {
            return rest.iter().all(|&b| b == b'*');
        }
        reference(rest, &t[1..])
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_recursion(p in "[ab*?\\[\\]^\\\\-]{0,8}", t in "[ab\\]^-]{0,8}") {
            proptest::prop_assert_eq!(
                matches(p.as_bytes(), t.as_bytes()),
                reference(p.as_bytes(), t.as_bytes()),
                "{} on {}", p, t
            );
        }
    }
}
