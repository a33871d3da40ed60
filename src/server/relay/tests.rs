//! What of a relayed session survives its primary, and what never does.

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::carry::Way;
use super::frames::{Frame, Frames};
use super::{After, Framed, Preamble};
use crate::raft::link::Bytes as Link;
use crate::resp::Proto;
use crate::server::Session;
use crate::server::clients::Clients;

impl Link for DuplexStream {}

fn session() -> Session {
    let client = Clients::new(1).add("a:1".into(), "b:2".into(), -1, 10);
    let mut session = Session::new(client.unwrap());
    session.authenticated = true;
    session
}

fn way(sent: &[u8]) -> Way {
    let mut way = Way::new(Preamble {
        authenticated: true,
        ..Preamble::default()
    });
    way.taken = true;
    way.send(sent);
    way
}

/// The input that comes back; `None`: the connection ends.
fn back(way: Way, disclaimed: bool) -> Option<(BytesMut, bool)> {
    match way.end(disclaimed) {
        After::Over => None,
        After::Back(returned) => Some((returned.input, returned.unknown)),
    }
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

#[test]
fn a_request_that_may_have_run_is_not_sent_again() {
    let mut answered = way(PING);
    answered.answered(PING.len() as u64, false).unwrap();
    assert!(answered.settled());
    assert_eq!(
        back(answered, false),
        Some((BytesMut::new(), false)),
        "nothing is owed"
    );

    assert_eq!(back(way(PING), false), None, "it may have run");
    let handed_back = back(way(PING), true).expect("the primary has not looked at it");
    assert_eq!(handed_back.0, PING);

    let mut half = way(PING);
    half.answered(PING.len() as u64, false).unwrap();
    half.send(&PING[..9]);
    assert!(!half.settled());
    let (input, unknown) = back(half, false).expect("half a request was not run");
    assert_eq!((&input[..], unknown), (&PING[..9], false));

    let mut half_sent = way(PING);
    half_sent.answered(PING.len() as u64, false).unwrap();
    half_sent.open = true;
    assert_eq!(back(half_sent, true), None, "a reply may be half sent");
}

#[test]
fn a_request_that_waited_is_told_that_its_outcome_is_not_known() {
    let mut waits = way(PING);
    waits.answered(PING.len() as u64, true).unwrap();
    assert!(!waits.settled());
    assert_eq!(back(waits, false), Some((BytesMut::new(), true)));

    let mut pipelined = way(PING);
    pipelined.answered(PING.len() as u64, true).unwrap();
    pipelined.send(&PING[..3]);
    assert_eq!(back(pipelined, false), None);
}

#[test]
fn what_is_too_long_to_keep_ends_with_the_primary_and_not_later() {
    let long = vec![b'x'; crate::base::limits::RELAY_TAIL_MAX + 1];
    assert_eq!(back(way(&long), true), None);
    let mut later = way(&long);
    later.answered(long.len() as u64, false).unwrap();
    assert_eq!(back(later, false), Some((BytesMut::new(), false)));
    assert!(way(PING).answered(PING.len() as u64 + 1, false).is_err());
}

#[tokio::test]
async fn notes_stand_between_the_replies() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut stream, mut teller) = Framed::new(Box::new(near));
    let mut frames = Frames::new(far);
    let mut session = session();
    assert!(teller.tell((0, false), &session, Proto::Resp2, false));
    assert!(!teller.tell((0, false), &session, Proto::Resp2, false));
    stream.write_all(b"+OK\r\n").await.unwrap();
    assert!(teller.tell((31, false), &session, Proto::Resp2, true));
    session.db = 3;
    session
        .names(crate::server::pubsub::Kind::Channel)
        .insert("c".into());
    assert!(teller.tell((40, true), &session, Proto::Resp3, true));
    teller.back();
    stream.flush().await.unwrap();
    drop(stream);
    let mut seen = Vec::new();
    while let Some(frame) = frames.next().await.unwrap() {
        seen.push(frame);
    }
    let [
        Frame::Session(first),
        Frame::Data(data),
        Frame::Answered(31, false),
        Frame::Session(last),
        Frame::Back,
    ] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!((first.consumed, first.session.db), (0, 0));
    assert_eq!(&data[..], b"+OK\r\n");
    assert_eq!((last.consumed, last.blocked, last.stays), (40, true, false));
    assert_eq!((last.session.db, last.session.resp3), (3, true));
    assert_eq!(last.session.names[0], ["c"]);
}

#[tokio::test]
async fn a_node_of_the_version_before_sends_replies_as_they_are() {
    let (mut near, far) = tokio::io::duplex(64);
    near.write_all(b"+PONG\r\n").await.unwrap();
    drop(near);
    let mut frames = Frames::new(far);
    let Some(Frame::Data(data)) = frames.next().await.unwrap() else {
        panic!("no data");
    };
    assert_eq!(&data[..], b"+PONG\r\n");
    assert_eq!(frames.next().await.unwrap(), None);
    let before = br#"{"id":1,"addr":"a:1","laddr":"","authenticated":true,"user":[],"db":2,"resp3":false,"readonly":false,
        "name":"","lib_name":"","lib_ver":"","no_touch":false,"watching":false,"multi":false,"tracking":null}"#;
    let told: Preamble = serde_json::from_slice(before).unwrap();
    assert!(!told.framed && told.db == 2);
}

#[tokio::test]
async fn a_frame_that_no_primary_sends_is_an_error() {
    for bytes in [&b"\0\xff\0\0\0"[..], b"\x02\0\0\0\x01x", b"\x01\0\0\0\0"] {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(bytes).await.unwrap();
        assert!(Frames::new(far).next().await.is_err(), "{bytes:?}");
    }
}
