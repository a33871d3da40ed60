//! The watch over toy nodes: real Admin streams over mutual TLS, with what the nodes say decided by the test.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tonic::{Request, Response, Status};

use super::view::{Address, View};
use super::{Watch, operator};
use crate::proto::admin_server::{Admin, AdminServer};
use crate::proto::{
    AddRequest, ChangeReply, DigestReply, DigestRequest, Empty, EntriesRequest, LogEntries,
    LogStatusReply, Member, NodeRequest, PromoteRequest, ReplaceRequest, SnapshotChunk,
    SnapshotReply, StatusReply,
};
use crate::tls::ca::Authority;
use crate::tls::files::Pair;
use crate::tls::peer::{Credentials, Files};

const CLUSTER: &str = "toy";

/// A node that says what the test wants.
struct Toy {
    says: watch::Receiver<StatusReply>,
}

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Statuses = Parts<StatusReply>;

fn refuse<T>() -> Result<Response<T>, Status> {
    Err(Status::failed_precondition("a toy does nothing"))
}

#[tonic::async_trait]
impl Admin for Toy {
    type WatchStream = Statuses;

    async fn status(&self, _: Request<Empty>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(self.says.borrow().clone()))
    }
    async fn watch(&self, _: Request<Empty>) -> Result<Response<Statuses>, Status> {
        let mut says = self.says.clone();
        says.mark_changed();
        let statuses = futures_util::stream::unfold(says, async |mut says| {
            says.changed().await.ok()?;
            let status = says.borrow_and_update().clone();
            Some((Ok(status), says))
        });
        Ok(Response::new(Box::pin(statuses)))
    }
    type BaseStream = Parts<SnapshotChunk>;

    async fn base(&self, _: Request<Empty>) -> Result<Response<Self::BaseStream>, Status> {
        refuse()
    }
    type EntriesStream = Parts<LogEntries>;

    async fn entries(
        &self,
        _: Request<EntriesRequest>,
    ) -> Result<Response<Self::EntriesStream>, Status> {
        refuse()
    }
    async fn add_learner(&self, _: Request<AddRequest>) -> Result<Response<ChangeReply>, Status> {
        refuse()
    }
    async fn promote(&self, _: Request<PromoteRequest>) -> Result<Response<ChangeReply>, Status> {
        refuse()
    }
    async fn remove(&self, _: Request<NodeRequest>) -> Result<Response<ChangeReply>, Status> {
        refuse()
    }
    async fn transfer(&self, _: Request<NodeRequest>) -> Result<Response<ChangeReply>, Status> {
        refuse()
    }

    async fn replace(&self, _: Request<ReplaceRequest>) -> Result<Response<ChangeReply>, Status> {
        refuse()
    }
    async fn digest(&self, _: Request<DigestRequest>) -> Result<Response<DigestReply>, Status> {
        refuse()
    }
    async fn snapshot(&self, _: Request<Empty>) -> Result<Response<SnapshotReply>, Status> {
        refuse()
    }
    async fn log_status(&self, _: Request<Empty>) -> Result<Response<LogStatusReply>, Status> {
        refuse()
    }
}

/// A connection as tonic takes it.
struct Io(TlsStream<TcpStream>);

impl tonic::transport::server::Connected for Io {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A cluster of toys.
struct Cluster {
    dir: tempfile::TempDir,
    authority: Authority,
}

/// A toy that runs; it ends when dropped.
struct Node {
    peer: String,
    says: watch::Sender<StatusReply>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    fn new() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), CLUSTER).unwrap();
        authority
            .issue_admin(CLUSTER)
            .unwrap()
            .write(dir.path(), "admin")
            .unwrap();
        Cluster { dir, authority }
    }

    fn credentials(&self, name: &str) -> Arc<Credentials> {
        let file = |end: &str| self.dir.path().join(format!("{name}.{end}"));
        let pair = Pair {
            cert: file("pem"),
            key: file("key"),
        };
        Credentials::open(
            CLUSTER,
            Files {
                ca: self.dir.path().join("ca.pem"),
                pair,
            },
        )
        .unwrap()
    }

    /// Starts node `id` at `addr`.
    async fn node(&self, id: u64, addr: &str, first: StatusReply) -> Node {
        let name = format!("node-{id}");
        self.authority
            .issue_node(CLUSTER, id)
            .unwrap()
            .write(self.dir.path(), &name)
            .unwrap();
        let credentials = self.credentials(&name);
        let listener = TcpListener::bind(addr).await.unwrap();
        let peer = listener.local_addr().unwrap().to_string();
        let (says, heard) = watch::channel(first);
        let incoming = futures_util::stream::unfold(listener, move |listener| {
            let credentials = credentials.clone();
            async move {
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    if let Ok(accepted) = credentials.accept(tcp).await {
                        return Some((Ok::<_, std::io::Error>(Io(accepted.stream)), listener));
                    }
                }
            }
        });
        let admin = AdminServer::new(Toy { says: heard });
        let server = tonic::transport::Server::builder().serve_with_incoming(admin, incoming);
        let task = tokio::spawn(async move { drop(server.await) });
        Node { peer, says, task }
    }
}

fn says(id: u64, role: &str, term: u64) -> StatusReply {
    StatusReply {
        id,
        role: role.into(),
        serving: role == "primary",
        term,
        ..StatusReply::default()
    }
}

fn address(node: &Node) -> Address {
    Address {
        client: format!("client of {}", node.peer),
        peer: node.peer.clone(),
    }
}

/// Waits until the view is as wanted. A view that never is fails the test.
async fn until(view: &mut watch::Receiver<View>, what: &str, wanted: impl FnMut(&View) -> bool) {
    let seen = tokio::time::timeout(Duration::from_secs(20), view.wait_for(wanted)).await;
    assert!(seen.is_ok(), "never seen: {what}");
}

fn primary(view: &View) -> Option<u64> {
    view.primary.map(|(id, _)| id)
}

#[tokio::test]
async fn what_nodes_say_is_known_at_once() {
    let cluster = Cluster::new();
    let one = cluster.node(1, "127.0.0.1:0", says(1, "primary", 1)).await;
    let two = cluster.node(2, "127.0.0.1:0", says(2, "standby", 1)).await;
    let nodes = BTreeMap::from([(1, address(&one)), (2, address(&two))]);
    let watch = Watch::start(cluster.credentials("admin"), nodes, true);
    let mut view = watch.view();
    until(&mut view, "node 1 serves", |v| primary(v) == Some(1)).await;

    two.says.send(says(2, "primary", 2)).unwrap();
    until(&mut view, "node 2 serves", |v| primary(v) == Some(2)).await;
    // Its end is known although it says nothing, and it is found again where it was.
    let (peer, was) = (two.peer.clone(), address(&two));
    drop(two);
    until(&mut view, "node 2 is gone", |v| !v.nodes[&2].connected).await;
    let _two = cluster.node(2, &peer, says(2, "primary", 3)).await;
    until(&mut view, "node 2 is back", |v| {
        primary(v) == Some(2) && v.nodes[&2].connected
    })
    .await;
    assert_eq!(view.borrow().target(), Some((2, was.client.as_str())));
}

#[tokio::test]
async fn members_that_the_primary_names_are_followed_and_others_are_not() {
    let cluster = Cluster::new();
    let one = cluster.node(1, "127.0.0.1:0", says(1, "standby", 1)).await;
    let four = cluster.node(4, "127.0.0.1:0", says(4, "standby", 1)).await;
    let watch = Watch::start(
        cluster.credentials("admin"),
        BTreeMap::from([(1, address(&one)), (9, address(&four))]),
        false,
    );
    let mut view = watch.view();
    let member = |id, node: &Node| Member {
        id,
        peer_addr: node.peer.clone(),
        client_addr: address(node).client,
        ..Member::default()
    };
    let members = vec![member(1, &one), member(4, &four)];
    one.says
        .send(StatusReply {
            members,
            ..says(1, "primary", 2)
        })
        .unwrap();
    until(&mut view, "node 4 is heard", |v| {
        v.nodes.get(&4).is_some_and(|o| o.connected)
    })
    .await;
    assert!(!view.borrow().nodes.contains_key(&9), "node 9 is no member");
}

#[tokio::test]
async fn a_node_with_the_certificate_of_another_is_not_believed() {
    let cluster = Cluster::new();
    let two = cluster.node(2, "127.0.0.1:0", says(1, "primary", 9)).await;
    let admin = cluster.credentials("admin");
    let timeout = Duration::from_secs(10);
    assert!(
        operator::connect(&admin, &two.peer, Some(1), timeout)
            .await
            .is_err()
    );
    assert!(
        operator::connect(&admin, &two.peer, Some(2), timeout)
            .await
            .is_ok()
    );
    assert!(
        operator::connect(&admin, &two.peer, None, timeout)
            .await
            .is_ok()
    );
    let other = Cluster::new();
    assert!(
        operator::connect(&other.credentials("admin"), &two.peer, None, timeout)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_refusal_keeps_its_words() {
    let cluster = Cluster::new();
    let one = cluster.node(1, "127.0.0.1:0", says(1, "primary", 1)).await;
    let admin = cluster.credentials("admin");
    let mut client = operator::connect(&admin, &one.peer, None, Duration::from_secs(10))
        .await
        .unwrap();
    let status = client.remove(NodeRequest { id: 7 }).await.unwrap_err();
    assert_eq!(status.message(), "a toy does nothing");
}
