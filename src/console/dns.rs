//! The name server: a service's name answers with its primary, `replica.` before it with its standbys.
//!
//! Always: what is answered is what the board shows at that moment, with a time to live of seconds, so that a driver that
//! looks a name up again finds the node that leads now. Names outside of the zone are refused, and nothing is asked of others.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, ensure};
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{
    Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode,
};
use hickory_server::proto::rr::rdata::{A, AAAA, NS, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::zone_handler::MessageResponseBuilder;

use super::Console;
use super::model::Overview;

/// How long an answer may be kept, seconds.
pub const TTL: u32 = 2;
/// How long a TCP connection may be silent.
const IDLE: Duration = Duration::from_secs(5);
/// Answers that wait to be sent on one TCP connection.
const ANSWERS_QUEUED: usize = 64;

/// Where names are asked for, and under what they are.
#[derive(Debug, Clone)]
pub struct Options {
    /// UDP and TCP.
    pub listen: SocketAddr,
    /// The zone, without a dot at its end.
    pub zone: String,
}

/// What of a service's name somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Primary,
    Standbys,
}

/// The name of a service in a zone.
pub fn name_of(id: &str, zone: &str) -> String {
    format!("{id}.{zone}")
}

/// A zone as it is written, checked.
///
/// # Errors
/// Where it is none.
pub fn zone(text: &str) -> Result<String, String> {
    let zone = text.trim_end_matches('.').to_ascii_lowercase();
    let name = Name::from_ascii(&zone).map_err(|e| format!("{text:?} is no domain name: {e}"))?;
    match name.num_labels() {
        0 => Err("a zone has one label at least, such as cache.example.com".into()),
        _ => Ok(zone),
    }
}

/// Answers until it is dropped.
pub struct Dns(Server<Answers>);

impl Dns {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(options: &Options, console: &Arc<Console>) -> anyhow::Result<Dns> {
        let addr = options.listen;
        let refused = || format!("{addr} cannot be listened on for DNS");
        let udp = tokio::net::UdpSocket::bind(addr)
            .await
            .with_context(refused)?;
        let tcp = tokio::net::TcpListener::bind(addr)
            .await
            .with_context(refused)?;
        let zone = Name::from_ascii(format!("{}.", options.zone))?;
        ensure!(zone.num_labels() > 0, "the zone is empty");
        let mut server = Server::new(Answers {
            zone: LowerName::from(&zone),
            console: Arc::downgrade(console),
        });
        server.register_socket(udp);
        server.register_listener(tcp, IDLE, ANSWERS_QUEUED);
        tracing::info!(%addr, zone = options.zone, "names of services are answered");
        Ok(Dns(server))
    }

    /// Ends it.
    pub async fn stop(mut self) {
        let _ = self.0.shutdown_gracefully().await;
    }
}

struct Answers {
    zone: LowerName,
    console: Weak<Console>,
}

/// What a question comes to.
struct Answer {
    code: ResponseCode,
    records: Vec<Record>,
}

impl Answers {
    fn answer(&self, name: &LowerName, kind: RecordType) -> Answer {
        let of = |code, records| Answer { code, records };
        if !self.zone.zone_of(name) {
            return of(ResponseCode::Refused, Vec::new());
        }
        let full = Name::from(name.clone());
        let record = |data| Record::from_rdata(full.clone(), TTL, data);
        if *name == self.zone {
            let records = match kind {
                RecordType::SOA => vec![self.soa()],
                RecordType::NS => vec![record(RData::NS(NS(self.server())))],
                _ => Vec::new(),
            };
            return of(ResponseCode::NoError, records);
        }
        let labels = full.num_labels() - Name::from(self.zone.clone()).num_labels();
        let label = |at: usize| {
            full.iter()
                .nth(at)
                .map(|l| String::from_utf8_lossy(l).into_owned())
        };
        let (wanted, id) = match (labels, label(0), label(1)) {
            (1, Some(id), _) => (Wanted::Primary, id),
            (2, Some(first), Some(id)) if first == "replica" => (Wanted::Standbys, id),
            _ => return of(ResponseCode::NXDomain, Vec::new()),
        };
        let seen = self.console.upgrade().and_then(|c| c.board.overview(&id));
        let Some(seen) = seen else {
            return of(ResponseCode::NXDomain, Vec::new());
        };
        let data = addresses(&seen, wanted)
            .into_iter()
            .filter_map(|ip| match (ip, kind) {
                (IpAddr::V4(ip), RecordType::A | RecordType::ANY) => Some(RData::A(A(ip))),
                (IpAddr::V6(ip), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(ip))),
                _ => None,
            });
        of(ResponseCode::NoError, data.map(record).collect())
    }

    fn server(&self) -> Name {
        let zone = Name::from(self.zone.clone());
        Name::from_ascii("ns")
            .and_then(|ns| ns.append_domain(&zone))
            .unwrap_or(zone)
    }

    fn soa(&self) -> Record {
        let zone = Name::from(self.zone.clone());
        let soa = SOA::new(self.server(), zone.clone(), 1, 3600, 600, 86_400, TTL);
        Record::from_rdata(zone, TTL, RData::SOA(soa))
    }
}

/// The addresses of a service's nodes that listen at its port: clients keep it when they follow the name. Where no standby
/// answers, the primary is what reads go to.
fn addresses(seen: &Overview, wanted: Wanted) -> Vec<IpAddr> {
    let of = |role: &str| -> Vec<IpAddr> {
        let nodes = seen.nodes.iter().filter(|n| n.role == role && n.answers);
        let addrs = nodes.filter_map(|n| n.client_addr.parse::<SocketAddr>().ok());
        let same = addrs.filter(|a| a.port() == seen.service.port);
        same.map(|a| a.ip()).collect()
    };
    match wanted {
        Wanted::Primary => of("primary"),
        Wanted::Standbys => match of("standby") {
            none if none.is_empty() => of("primary"),
            all => all,
        },
    }
}

#[async_trait::async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut handle: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let builder = MessageResponseBuilder::from_message_request(request);
        let asked = request.request_info();
        let answer = match (&asked, request.metadata.op_code) {
            (Ok(asked), OpCode::Query) => self.answer(asked.query.name(), asked.query.query_type()),
            (Ok(_), _) => Answer {
                code: ResponseCode::NotImp,
                records: Vec::new(),
            },
            (Err(_), _) => Answer {
                code: ResponseCode::FormErr,
                records: Vec::new(),
            },
        };
        metadata.authoritative = answer.code != ResponseCode::Refused;
        metadata.response_code = answer.code;
        // How long it may be kept that there is nothing.
        let nothing = answer.records.is_empty() && metadata.authoritative;
        let soa: Vec<Record> = nothing.then(|| self.soa()).into_iter().collect();
        let response = builder.build(metadata, &answer.records, &[], &soa, &[]);
        match handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "a DNS answer could not be sent");
                let metadata =
                    Metadata::new(request.metadata.id, MessageType::Response, OpCode::Query);
                let counts = HeaderCounts::default();
                ResponseInfo::from(Header { metadata, counts })
            }
        }
    }
}
