//! The parser's tests: requests as Redis takes them, its errors, and indifference to how bytes arrive.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

/// Requests until the input ends or breaks; the input arrives in the given pieces.
fn parse_pieces(
    input: &[u8],
    piece: usize,
    authenticated: bool,
) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let mut parser = Parser::new();
    let mut buffer = BytesMut::new();
    let mut requests = Vec::new();
    for bytes in input.chunks(piece.max(1)) {
        buffer.extend_from_slice(bytes);
        loop {
            match parser.take(&mut buffer, authenticated) {
                Ok(None) => break,
                Ok(Some(args)) => requests.push(args.iter().map(<[u8]>::to_vec).collect()),
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn words(request: &[&str]) -> Vec<Vec<u8>> {
    request
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// Parses in pieces of every size; expects the same each time.
fn check(input: &[u8], expected: &[&[&str]]) {
    let expected: Vec<_> = expected.iter().map(|request| words(request)).collect();
    for piece in 1..=input.len() {
        assert_eq!(
            parse_pieces(input, piece, true),
            (expected.clone(), None),
            "in pieces of {piece}"
        );
    }
}

fn check_error(input: &[u8], authenticated: bool, message: &str) {
    for piece in [1, 2, 3, 7, 1000, input.len()] {
        let (_, error) = parse_pieces(input, piece, authenticated);
        let found = error.map(|e| String::from_utf8_lossy(&e.message()).into_owned());
        assert_eq!(
            found.as_deref(),
            Some(format!("ERR Protocol error: {message}").as_str()),
            "in pieces of {piece}"
        );
    }
}

#[test]
fn arrays_of_bulk_strings() {
    check(b"*1\r\n$4\r\nPING\r\n", &[&["PING"]]);
    check(
        b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n",
        &[&["GET", ""], &["PING"]],
    );
    check(
        b"*2\r\n$4\r\nECHO\r\n$6\r\n*1\r\n$4\r\n",
        &[&["ECHO", "*1\r\n$4"]],
    );
    check(b"*0\r\n*-1\r\n*-5\r\n*1\r\n$1\r\na\r\n", &[&["a"]]);
    // Line ends are trusted, as in Redis.
    check(b"*1\rx$1\rxaxx", &[&["a"]]);
}

#[test]
fn inline_commands() {
    check(b"PING\r\n", &[&["PING"]]);
    check(
        b"\r\n\n  \r\nSET k  v \nGET k\r\n",
        &[&["SET", "k", "v"], &["GET", "k"]],
    );
    check(b"SET \"a b\" 'c d'\r\n", &[&["SET", "a b", "c d"]]);
    check(br#"SET "\n\r\t\b\a\x41\xzz\q\"" 'it\'s \n'"#.iter().chain(b"\n").copied().collect::<Vec<_>>().as_slice(), &[&[
        "SET",
        "\n\r\t\u{8}\u{7}Axzzq\"",
        r"it's \n",
    ]]);
    check(b"a\"b\"\r\n", &[&["ab"]]);
    check(b"''\r\n", &[&[""]]);
    check(
        b"PING\r\n*1\r\n$4\r\nECHO\r\nQUIT\r\n",
        &[&["PING"], &["ECHO"], &["QUIT"]],
    );
}

#[test]
fn inline_errors() {
    check_error(b"SET \"a\r\n", true, "unbalanced quotes in request");
    check_error(b"SET 'a\r\n", true, "unbalanced quotes in request");
    check_error(b"SET \"a\"b\r\n", true, "unbalanced quotes in request");
    check_error(b"\"\\\r\n", true, "unbalanced quotes in request");
    check_error(&[b'a'; LINE_LEN_MAX + 1], true, "too big inline request");
    // A NUL hides line ends, as in Redis, whose suite waits for this very error.
    check_error(&b"\0payload\n".repeat(9000), true, "too big inline request");
}

#[test]
fn array_errors() {
    check_error(b"*x\r\n", true, "invalid multibulk length");
    check_error(b"*\r\n", true, "invalid multibulk length");
    check_error(b"*01\r\n", true, "invalid multibulk length");
    check_error(b"*3000000000\r\n", true, "invalid multibulk length");
    check_error(b"*1048577\r\n", true, "invalid multibulk length");
    check_error(b"*1\r\nPING\r\n", true, "expected '$', got 'P'");
    check_error(b"*1\r\n$x\r\n", true, "invalid bulk length");
    check_error(b"*1\r\n$-1\r\n", true, "invalid bulk length");
    check_error(b"*1\r\n$536870913\r\n", true, "invalid bulk length");
    check_error(
        &[b"*", &[b'1'; LINE_LEN_MAX][..]].concat(),
        true,
        "too big mbulk count string",
    );
    check_error(
        &[b"*1\r\n$", &[b'1'; LINE_LEN_MAX][..]].concat(),
        true,
        "too big bulk count string",
    );
    assert_eq!(
        ProtocolError::ExpectedBulk(0xff).message(),
        b"ERR Protocol error: expected '$', got '\xff'"
    );
}

#[test]
fn clients_that_have_not_authenticated_are_held_short() {
    check_error(b"*11\r\n", false, "unauthenticated multibulk length");
    check_error(b"*1\r\n$16385\r\n", false, "unauthenticated bulk length");
    let input = [b"*10\r\n".to_vec(), b"$1\r\na\r\n".repeat(10)].concat();
    assert_eq!(parse_pieces(&input, 3, false).0.len(), 1);
    assert_eq!(parse_pieces(b"*11\r\n", 3, true).1, None);
}

#[test]
fn declared_sizes_allocate_nothing() {
    let mut parser = Parser::new();
    assert_eq!(
        parser.next(b"*1048576\r\n$536870912\r\nabc", true),
        Ok(None)
    );
    assert_eq!(parser.spans.capacity(), 0);
    assert_eq!(parser.lacks(25), 536870912 + 2 - 3);
    assert!(!parser.is_idle());
}

#[test]
fn a_request_beyond_the_bound_is_refused_when_declared() {
    let mut parser = Parser {
        at: REQUEST_LEN_MAX - 10,
        missing: Some(1),
        ..Parser::default()
    };
    let mut buffer = vec![0; REQUEST_LEN_MAX - 10];
    buffer[0] = b'*';
    buffer.extend_from_slice(b"$11\r\n");
    assert_eq!(
        parser.next(&buffer, true),
        Err(ProtocolError::RequestTooBig)
    );
}

#[test]
fn large_requests_leave_no_memory_behind() {
    let input = [b"*100000\r\n".to_vec(), b"$1\r\na\r\n".repeat(100_000)].concat();
    let mut parser = Parser::new();
    assert_eq!(
        parser.next(&input, true).unwrap().unwrap().args.len(),
        100_000
    );
    assert_eq!(
        parser.next(b"PING\r\n", true).unwrap().unwrap().args.len(),
        1
    );
    assert!(parser.spans.capacity() <= 2 * KEPT_MAX);
}

#[test]
fn empty_requests_are_handed_over_so_that_their_bytes_can_go() {
    let mut parser = Parser::new();
    let request = parser.next(b"\r\nPING\r\n", true).unwrap().unwrap();
    assert_eq!((request.consumed, request.args.len()), (2, 0));
    assert!(parser.is_idle());
    assert_eq!(parser.next(b"*0\r\n", true).unwrap().unwrap().consumed, 4);
}

/// Bytes that look like the protocol often enough to go deep.
fn near_protocol() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "\r\n", "*1\r\n", "*2\r\n", "*0\r\n", "*-1\r\n", "$0\r\n", "$1\r\n", "$3\r\n", "$-1\r\n", "abc", "a", "GET k\r\n",
            "\"", "'", "\\x4", " ", "\n", "\r", "*", "$", "12",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pieces_do_not_matter(input in near_protocol(), authenticated: bool) {
        let whole = parse_pieces(&input, usize::MAX, authenticated);
        for piece in 1..=input.len().min(9) {
            prop_assert_eq!(&parse_pieces(&input, piece, authenticated), &whole, "in pieces of {}", piece);
        }
    }

    #[test]
    fn what_is_sent_is_read(requests in proptest::collection::vec(
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6), 0..6,
    ), piece in 1usize..64) {
        let mut input = Vec::new();
        for request in &requests {
            input.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for arg in request {
                input.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                input.extend_from_slice(arg);
                input.extend_from_slice(b"\r\n");
            }
        }
        prop_assert_eq!(parse_pieces(&input, piece, true), (requests, None));
    }
}
