//! Fills an archive from a node: a base, or the log since what the archive has.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use prost::Message;
use tokio::sync::oneshot;
use tonic::transport::Channel;
use xxhash_rust::xxh3::Xxh3Default;

use super::manifest::{Hasher, Kind, LogPlace, Manifest, Part};
use super::{Error, Vault, part, plain};
use crate::base::gently::Gently;
use crate::log::{Entry, Id};
use crate::proto::admin_client::AdminClient;
use crate::proto::snapshot_chunk::Part as Chunk;
use crate::proto::{BaseHeader, Empty, EntriesRequest};
use crate::raft::recovery::time_of;

/// The client of a node's Admin service.
pub type Client = AdminClient<Channel>;

/// Pieces that wait to be sealed, of at most a snapshot chunk each.
const QUEUE: usize = 8;
/// How much lower than others' the thread ranks that compresses and encrypts.
const NICENESS: i32 = 19;
/// So many bytes of what is sealed are synced at once.
const SYNC_LEN: u64 = 1024 * 1024;
/// Messages of a node: an entry and what stands around it.
const MESSAGE_LEN: usize = crate::base::limits::ENTRY_LEN_MAX * 2;

fn node(status: tonic::Status) -> Error {
    Error::Node(status.message().to_string())
}

/// What is sealed while it arrives.
struct Pipe {
    pieces: Receiver<Vec<u8>>,
    rest: io::Cursor<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.rest.read(buf)? {
                0 => match self.pieces.recv() {
                    Ok(piece) => self.rest = io::Cursor::new(piece),
                    Err(_) => return Ok(0),
                },
                n => return Ok(n),
            }
        }
    }
}

/// Seals what is sent into a file.
struct Sealing {
    out: SyncSender<Vec<u8>>,
    done: oneshot::Receiver<io::Result<(u64, String)>>,
    file: tempfile::NamedTempFile,
}

/// Counts and hashes what goes through, on its way to a file.
struct Counted<W> {
    out: W,
    len: u64,
    hash: Hasher,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.len += n as u64;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Sealing {
    fn begin(vault: &Vault, name: &str) -> Result<Sealing, Error> {
        let failed = |e| Error::Io(name.to_string(), e);
        let file = tempfile::NamedTempFile::new().map_err(failed)?;
        let to: File = file.reopen().map_err(failed)?;
        let (out, pieces) = sync_channel(QUEUE);
        let (key, name) = (vault.key.clone(), name.to_string());
        let sealing = move || {
            let mut counted = Counted {
                out: BufWriter::new(Gently::new(to, SYNC_LEN)),
                len: 0,
                hash: Hasher::new(),
            };
            let pipe = Pipe {
                pieces,
                rest: io::Cursor::default(),
            };
            part::seal(&key, &name, pipe, &mut counted)?;
            counted.flush()?;
            Ok((counted.len, counted.hash.finish()))
        };
        let (tell, done) = oneshot::channel();
        let thread = std::thread::Builder::new().name("seal".into());
        // A thread of its own, since what yields its core once does so for good.
        let begun = thread.spawn(move || {
            // Without it all works, less politely.
            let _ = rustix::process::nice(NICENESS);
            let _ = tell.send(sealing());
        });
        begun.map_err(failed)?;
        Ok(Sealing { out, done, file })
    }

    async fn send(&mut self, piece: Vec<u8>) -> Result<(), Error> {
        let out = self.out.clone();
        // It blocks while the disk is slower than the node.
        let sent = tokio::task::spawn_blocking(move || out.send(piece)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(Error::Content("the part could not be written".into())),
        }
    }

    /// Ends it, and adds the part that `of` describes.
    async fn finish(
        self,
        vault: &Vault,
        of: impl FnOnce(u64, String) -> Part,
    ) -> Result<Manifest, Error> {
        drop(self.out);
        let name = self.file.path().display().to_string();
        let done = self.done.await.map_err(io::Error::other);
        let (len, hash) = done.and_then(|d| d).map_err(|e| Error::Io(name, e))?;
        vault.add(self.file.path(), of(len, hash)).await
    }
}

/// Takes a base from a node: a checkpoint of its store.
///
/// # Errors
/// When the node or the store fails, or the node is of another service.
pub async fn base(vault: &Vault, mut client: Client) -> Result<Manifest, Error> {
    let mut parts = client.base(Empty {}).await.map_err(node)?.into_inner();
    let mut next = async || {
        let chunk = parts.message().await.map_err(node)?;
        Ok::<_, Error>(chunk.and_then(|c| c.part))
    };
    let wrong = |what: &str| Error::Content(format!("the node's checkpoint: {what}"));
    let Some(Chunk::Header(header)) = next().await? else {
        return Err(wrong("it has no header"));
    };
    let header = BaseHeader::decode(header).map_err(|e| wrong(&e.to_string()))?;
    if header.cluster_id != vault.service() {
        return Err(wrong("it is of another service"));
    }
    let name = format!(
        "part/{:020}-base-{:08x}",
        header.index,
        rand::random::<u32>()
    );
    let mut sealing = Sealing::begin(vault, &name)?;
    let (mut left, mut hash) = (0, Xxh3Default::new());
    let (mut files, mut bytes) = (0, 0);
    loop {
        match next().await? {
            Some(Chunk::File(file)) if left == 0 => {
                let mut head = Vec::new();
                plain::file_head(&file.name, file.length, &mut head)
                    .map_err(|e| wrong(&e.to_string()))?;
                (left, hash, files) = (file.length, Xxh3Default::new(), files + 1);
                sealing.send(head).await?;
            }
            Some(Chunk::Data(data)) if data.len() as u64 <= left => {
                left -= data.len() as u64;
                bytes += data.len() as u64;
                hash.update(&data);
                sealing.send(data.to_vec()).await?;
            }
            Some(Chunk::FileEnd(end)) if left == 0 => {
                if end.xxh3 != hash.digest() {
                    return Err(wrong("a file's checksum is another"));
                }
            }
            Some(Chunk::End(end)) if left == 0 => {
                if (end.files, end.bytes) != (files, bytes) {
                    return Err(wrong("it is not whole"));
                }
                break;
            }
            Some(_) => return Err(wrong("it is out of order")),
            None => return Err(wrong("it ended early")),
        }
    }
    let place = LogPlace {
        term: header.term,
        index: header.index,
    };
    let describe = |len, sha256| Part {
        name,
        kind: Kind::Base,
        first: place,
        last: place,
        last_time_ms: header.time_ms,
        digest: Some(hex::encode(&header.digest)),
        len,
        sha256,
    };
    sealing.finish(vault, describe).await
}

/// Takes the committed entries that the archive does not have yet; none where there are none.
///
/// # Errors
/// When the archive has no base, the node has purged what comes next, or node or store fail.
pub async fn archive(vault: &Vault, mut client: Client) -> Result<Option<Manifest>, Error> {
    let chain = vault.chain(0).await?;
    let of = |kind| {
        let parts = chain.iter().map(|m| &m.part);
        parts.filter(move |p| p.kind == kind).map(|p| p.last)
    };
    let newest = chain.iter().map(|m| m.part.last).max_by_key(|l| l.index);
    // The log goes on from where it ends, or from the oldest base, and not from a newer base: what was written before that
    // one can be asked for, too.
    let log = of(Kind::Log).max_by_key(|l| l.index);
    let log = log.or_else(|| of(Kind::Base).min_by_key(|l| l.index));
    let (Some(log), Some(newest)) = (log, newest) else {
        return Err(Error::Reach(
            "the archive has no base yet: take one first".into(),
        ));
    };
    client = client.max_decoding_message_size(MESSAGE_LEN);
    match part_from(vault, &mut client, &chain, log, newest).await {
        // What is between them is lost to the archive.
        Err(Error::Node(why)) if why.contains("take a new base") && log < newest => {
            tracing::warn!(
                "the log up to index {} is not archived: {why}",
                newest.index
            );
            part_from(vault, &mut client, &chain, newest, newest).await
        }
        done => done,
    }
}

/// Archives the log behind `last`, where it reaches as far as `newest`.
async fn part_from(
    vault: &Vault,
    client: &mut Client,
    chain: &[Manifest],
    last: LogPlace,
    newest: LogPlace,
) -> Result<Option<Manifest>, Error> {
    let request = EntriesRequest {
        from: last.index + 1,
    };
    let mut parts = client.entries(request).await.map_err(node)?.into_inner();
    let mut sealing: Option<(String, Sealing)> = None;
    let (mut first, mut end, mut time) = (None, last, 0);
    while let Some(entries) = parts.message().await.map_err(node)? {
        let mut piece = Vec::new();
        for e in entries.entries {
            if e.index != end.index + 1 || e.term < end.term {
                return Err(Error::Content(format!(
                    "entry {} does not follow {}",
                    e.index, end.index
                )));
            }
            end = LogPlace {
                term: e.term,
                index: e.index,
            };
            first.get_or_insert(end);
            let entry = Entry {
                id: Id {
                    term: e.term,
                    index: e.index,
                },
                kind: u8::try_from(e.kind).unwrap_or(u8::MAX),
                body: e.body,
            };
            let stamp = time_of(&entry).map_err(|e| Error::Content(e.to_string()))?;
            time = stamp.unwrap_or(time).max(time);
            plain::entry(&entry, &mut piece).map_err(|e| Error::Content(e.to_string()))?;
        }
        let sealing = match &mut sealing {
            Some((_, sealing)) => sealing,
            none => {
                let name = format!(
                    "part/{:020}-log-{:08x}",
                    last.index + 1,
                    rand::random::<u32>()
                );
                let begun = Sealing::begin(vault, &name)?;
                &mut none.insert((name, begun)).1
            }
        };
        sealing.send(piece).await?;
    }
    let (Some((name, sealing)), Some(first)) = (sealing, first) else {
        return Ok(None);
    };
    if end < newest {
        // Of a standby that lags behind the newest base: another look finds more.
        return Ok(None);
    }
    let newest = chain.iter().map(|m| m.part.last_time_ms).max().unwrap_or(0);
    let describe = |len, sha256| Part {
        name,
        kind: Kind::Log,
        first,
        last: end,
        last_time_ms: time.max(newest),
        digest: None,
        len,
        sha256,
    };
    sealing.finish(vault, describe).await.map(Some)
}
