//! The gateway between toy clients and toy upstreams that say their name and then echo.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::view::{Address, GRACE, Observed, SILENCE, View};
use super::{Gateway, Options, pump};
use crate::proto::StatusReply;

/// An upstream that answers each connection with `name` (one byte) and echoes what follows.
async fn upstream(name: u8) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(&[name]).await.unwrap();
                let (mut r, mut w) = stream.split();
                let _ = tokio::io::copy(&mut r, &mut w).await;
                let _ = w.shutdown().await;
            });
        }
    });
    addr
}

fn status(role: &str, term: u64) -> StatusReply {
    StatusReply {
        role: role.into(),
        serving: role == "primary",
        term,
        ..StatusReply::default()
    }
}

fn node(client: &str, role: &str, term: u64) -> Observed {
    Observed {
        connected: true,
        heard: Some(Instant::now()),
        status: Some(status(role, term)),
        ..Observed::new(Address {
            client: client.into(),
            peer: String::new(),
        })
    }
}

fn view(nodes: impl IntoIterator<Item = (u64, Observed)>) -> View {
    let mut view = View {
        nodes: nodes.into_iter().collect(),
        primary: None,
    };
    view.settle(Instant::now());
    view
}

fn start(view: View, options: Options) -> (Gateway, watch::Sender<View>) {
    let (sender, receiver) = watch::channel(view);
    let gateway = Gateway::start(
        Options {
            threads: 2,
            ..options
        },
        receiver,
    )
    .unwrap();
    (gateway, sender)
}

/// Connects and reads the name of the upstream that was reached.
async fn connect(gateway: &Gateway) -> (TcpStream, u8) {
    let mut stream = TcpStream::connect(gateway.addr()).await.unwrap();
    let name = stream.read_u8().await.unwrap();
    (stream, name)
}

async fn echo(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await?;
    assert_eq!(back, text);
    Ok(())
}

#[tokio::test]
async fn new_connections_follow_the_primary_and_old_ones_stay_with_a_node_that_answers() {
    let (a, b) = (upstream(b'a').await, upstream(b'b').await);
    let first = view([(1, node(&a, "primary", 1)), (2, node(&b, "standby", 1))]);
    let (gateway, sender) = start(first, Options::default());
    let (mut old, name) = connect(&gateway).await;
    assert_eq!(name, b'a');

    sender
        .send(view([
            (1, node(&a, "standby", 2)),
            (2, node(&b, "primary", 2)),
        ]))
        .unwrap();
    let (mut new, name) = connect(&gateway).await;
    assert_eq!(name, b'b');
    echo(&mut new, b"to the new primary").await.unwrap();
    echo(&mut old, b"relayed by the old one").await.unwrap();
    assert_eq!(gateway.connections(), 2);
}

#[tokio::test]
async fn connections_to_a_primary_that_does_not_know_that_it_is_deposed_are_cut() {
    let (a, b) = (upstream(b'a').await, upstream(b'b').await);
    let first = view([(1, node(&a, "primary", 1)), (2, node(&b, "standby", 1))]);
    let (gateway, sender) = start(first, Options::default());
    let (mut old, _) = connect(&gateway).await;

    let began = Instant::now();
    sender
        .send(view([
            (1, node(&a, "primary", 1)),
            (2, node(&b, "primary", 2)),
        ]))
        .unwrap();
    let mut byte = [0];
    let cut = tokio::time::timeout(Duration::from_secs(10), old.read(&mut byte))
        .await
        .unwrap();
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    assert!(
        began.elapsed() >= GRACE,
        "it was given no time to say that it knows"
    );
    assert_eq!(connect(&gateway).await.1, b'b');
}

#[tokio::test]
async fn a_silent_node_keeps_its_connections_while_no_other_serves() {
    let a = upstream(b'a').await;
    let (gateway, sender) = start(view([(1, node(&a, "primary", 1))]), Options::default());
    let (mut old, _) = connect(&gateway).await;
    let mut silent = node(&a, "primary", 1);
    (silent.connected, silent.heard) = (false, None);
    sender.send(view([(1, silent)])).unwrap();
    tokio::time::sleep(GRACE * 2).await;
    echo(&mut old, b"still there").await.unwrap();
}

#[tokio::test]
async fn a_connection_waits_for_a_primary() {
    let a = upstream(b'a').await;
    let (gateway, sender) = start(view([(1, node(&a, "standby", 1))]), Options::default());
    let mut waiting = TcpStream::connect(gateway.addr()).await.unwrap();
    waiting.write_all(b"hello").await.unwrap();
    while gateway.connections() == 0 {
        tokio::task::yield_now().await;
    }
    sender.send(view([(1, node(&a, "primary", 2))])).unwrap();
    let mut got = [0; 6];
    waiting.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ahello");
}

#[tokio::test]
async fn a_primary_that_refuses_connections_is_tried_until_it_accepts() {
    // A port that nobody listens on for now.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let (gateway, _sender) = start(
        view([(1, node(&addr.to_string(), "primary", 1))]),
        Options::default(),
    );
    let mut waiting = TcpStream::connect(gateway.addr()).await.unwrap();
    while gateway.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let listener = TcpListener::bind(addr).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    accepted.write_all(b"!").await.unwrap();
    assert_eq!(waiting.read_u8().await.unwrap(), b'!');
}

#[tokio::test]
async fn without_a_primary_a_connection_is_closed_after_the_wait() {
    let options = Options {
        wait: Duration::from_millis(100),
        ..Options::default()
    };
    let (gateway, _sender) = start(View::default(), options);
    let began = Instant::now();
    let mut stream = TcpStream::connect(gateway.addr()).await.unwrap();
    let end = stream.read(&mut [0]).await;
    assert!(matches!(end, Ok(0) | Err(_)));
    assert!(began.elapsed() >= Duration::from_millis(100));
    while gateway.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_connection_more_than_the_bound_is_closed_and_a_place_becomes_free_again() {
    let a = upstream(b'a').await;
    let options = Options {
        connections_max: 2,
        ..Options::default()
    };
    let (gateway, _sender) = start(view([(1, node(&a, "primary", 1))]), options);
    let (first, _) = connect(&gateway).await;
    let (mut second, _) = connect(&gateway).await;
    let mut third = TcpStream::connect(gateway.addr()).await.unwrap();
    assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)));
    echo(&mut second, b"unharmed").await.unwrap();
    drop(first);
    while gateway.connections() > 1 {
        tokio::task::yield_now().await;
    }
    let (mut fourth, _) = connect(&gateway).await;
    echo(&mut fourth, b"in its place").await.unwrap();
}

#[tokio::test]
async fn an_end_of_file_is_passed_on_and_the_other_direction_goes_on() {
    let a = upstream(b'a').await;
    let (gateway, _sender) = start(view([(1, node(&a, "primary", 1))]), Options::default());
    let (mut stream, _) = connect(&gateway).await;
    stream.write_all(b"last words").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"last words");
}

#[tokio::test]
async fn large_transfers_arrive_whole_through_both_sockets() {
    let a = upstream(b'a').await;
    let (gateway, _sender) = start(view([(1, node(&a, "primary", 1))]), Options::default());
    let (stream, _) = connect(&gateway).await;
    let sent: Vec<u8> = (0..8_000_003_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let (mut r, mut w) = stream.into_split();
    let copy = sent.clone();
    let writer = tokio::spawn(async move { w.write_all(&copy).await.map(|()| w) });
    let mut got = vec![0; sent.len()];
    r.read_exact(&mut got).await.unwrap();
    writer.await.unwrap().unwrap();
    assert!(got == sent);
}

#[tokio::test]
async fn what_a_slow_reader_does_not_take_stops_the_writer() {
    const PIPE: usize = 1000;
    let (mut client, mut a) = tokio::io::duplex(PIPE);
    let (mut b, mut server) = tokio::io::duplex(PIPE);
    tokio::spawn(async move { pump::both(&mut a, &mut b).await });
    let mut written = 0_usize;
    // The writer gets as far as two pipes and what the pump keeps, and no further.
    while let Ok(n) =
        tokio::time::timeout(Duration::from_millis(200), client.write(&[7; 100])).await
    {
        written += n.unwrap();
        assert!(
            written <= 3 * PIPE,
            "{written} bytes went into two pipes of {PIPE}"
        );
    }
    assert!(written >= 2 * PIPE);
    let mut got = vec![0; written];
    server.read_exact(&mut got).await.unwrap();
    assert!(got.iter().all(|b| *b == 7));
    // And it goes on afterwards, in both directions.
    client.write_all(b"on").await.unwrap();
    let mut two = [0; 2];
    server.read_exact(&mut two).await.unwrap();
    server.write_all(&two).await.unwrap();
    client.read_exact(&mut two).await.unwrap();
    assert_eq!(&two, b"on");
}

#[test]
fn the_highest_term_that_serves_and_answers_is_the_primary() {
    let now = Instant::now();
    let mut v = view([
        (1, node("a", "primary", 4)),
        (2, node("b", "primary", 5)),
        (3, node("c", "standby", 5)),
    ]);
    assert_eq!(v.target(), Some((2, "b")));
    // Silence ends that; the deposed one is the best that is known.
    let later = now + SILENCE * 2;
    v.nodes.get_mut(&1).unwrap().heard = Some(later);
    assert!(v.settle(later));
    assert_eq!(v.target(), Some((1, "a")));
    // A primary that does not serve yet is none.
    v.nodes
        .get_mut(&1)
        .unwrap()
        .status
        .as_mut()
        .unwrap()
        .serving = false;
    assert!(v.settle(later));
    assert_eq!(v.target(), None);
    assert_eq!(v.nodes[&2].role(later), "unknown");
}

#[test]
fn connections_end_only_where_another_node_serves() {
    let mut v = view([(1, node("a", "standby", 5)), (2, node("b", "primary", 5))]);
    let all = || [1, 2, 9].into_iter();
    let now = Instant::now();
    assert_eq!(
        v.lost(all(), now),
        [9],
        "a node that is not known is lost, a standby that answers is not"
    );
    let later = now + SILENCE + GRACE;
    v.nodes.get_mut(&2).unwrap().heard = Some(later);
    assert_eq!(v.lost(all(), later), [1, 9], "a silent standby is lost");
    v.primary = None;
    assert!(
        v.lost(all(), later).is_empty(),
        "without a primary nothing is concluded"
    );
}
