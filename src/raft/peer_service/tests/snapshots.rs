//! Snapshots between two peers: streamed, damaged, cancelled.

use super::*;

fn snapshot_of(dir: &std::path::Path) -> Snapshot {
    let meta = SnapshotMeta {
        last_log_id: Some(id(9)),
        last_membership: group(),
    };
    Snapshot {
        meta,
        snapshot: SnapshotDir::at(dir.to_owned()),
    }
}

#[tokio::test]
async fn a_snapshot_is_streamed_and_installed() {
    let two = Two::start().await;
    let from = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    std::fs::write(from.path().join("1.sst"), &big).unwrap();
    std::fs::write(from.path().join("META"), b"m").unwrap();
    let (mut factory, _) = two.factory();
    let mut client = factory.new_snapshot_client(2, &two.member()).await;
    let vote = Vote::new_committed(2, 1);
    let never = std::future::pending();
    let answer = client
        .full_snapshot(vote, snapshot_of(from.path()), never, option())
        .await;
    assert_eq!(answer.unwrap().vote, vote);
    let installed = two.raft.0.lock().installed.clone();
    assert_eq!(
        installed,
        [vec![
            ("1.sst".to_owned(), big),
            ("META".to_owned(), b"m".to_vec())
        ]]
    );
    assert!(
        factory.snapshots().is_empty(),
        "a finished transfer is no longer shown"
    );
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_leaves_nothing() {
    let two = Two::start().await;
    let header = wire::encode_snapshot_header(
        &Vote::new_committed(2, 1),
        &SnapshotMeta {
            last_log_id: Some(id(9)),
            last_membership: group(),
        },
    );
    let good = xxhash_rust::xxh3::xxh3_64(b"abc");
    let parts = |data: &'static [u8], xxh3| {
        [
            Part::Header(header.clone()),
            Part::File(FileStart {
                name: "a".into(),
                length: 3,
            }),
            Part::Data(Bytes::from_static(data)),
            Part::FileEnd(FileEnd { xxh3 }),
            Part::End(SnapshotEnd { files: 1, bytes: 3 }),
        ]
    };
    let send = async |node, parts: &[Part]| {
        let chunks: Vec<_> = parts
            .iter()
            .map(|p| SnapshotChunk {
                part: Some(p.clone()),
            })
            .collect();
        two.raw(node)
            .install_snapshot(stream::iter(chunks))
            .await
            .map(|_| ())
    };
    let code = |sent: Result<(), Status>| sent.unwrap_err().code();
    assert_eq!(code(send(1, &parts(b"abd", good)).await), Code::DataLoss);
    assert_eq!(code(send(1, &parts(b"ab", good)).await), Code::DataLoss);
    assert_eq!(
        code(send(1, &parts(b"abc", good)[..4]).await),
        Code::DataLoss
    );
    assert_eq!(
        code(send(1, &parts(b"abc", good)[1..]).await),
        Code::InvalidArgument
    );
    assert_eq!(
        code(send(3, &parts(b"abc", good)).await),
        Code::PermissionDenied
    );
    assert!(two.raft.0.lock().installed.is_empty());
    let left = || {
        std::fs::read_dir(two.dir.path().join("incoming"))
            .unwrap()
            .count()
    };
    assert_eq!(left(), 0);
    send(1, &parts(b"abc", good)).await.unwrap();
    assert_eq!(two.raft.0.lock().installed.len(), 1);
}

#[tokio::test]
async fn a_cancelled_snapshot_ends_and_the_next_may_come() {
    let two = Two::start().await;
    let from = tempfile::tempdir().unwrap();
    std::fs::write(from.path().join("1.sst"), vec![1; 64 << 20]).unwrap();
    let (mut factory, _) = two.factory();
    let mut client = factory.new_snapshot_client(2, &two.member()).await;
    let vote = Vote::new_committed(2, 1);
    let progress = factory.clone();
    let begun = async move {
        while progress.snapshots().values().all(|p| p.bytes() == 0) {
            tokio::task::yield_now().await;
        }
        openraft::error::ReplicationClosed::new("by the test")
    };
    let answer = client
        .full_snapshot(vote, snapshot_of(from.path()), begun, option())
        .await;
    assert!(
        matches!(answer, Err(openraft::error::StreamingError::Closed(_))),
        "{answer:?}"
    );
    std::fs::write(from.path().join("1.sst"), b"small").unwrap();
    let deadline = Instant::now() + TIME;
    loop {
        let never = std::future::pending();
        match client
            .full_snapshot(vote, snapshot_of(from.path()), never, option())
            .await
        {
            Ok(_) => break,
            // Until the receiver has seen that the first is gone.
            Err(e) => assert!(Instant::now() < deadline, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let installed = two.raft.0.lock().installed.clone();
    assert_eq!(installed, [vec![("1.sst".to_owned(), b"small".to_vec())]]);
}
