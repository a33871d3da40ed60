//! `pontoon service`: what the console's pages do, from a shell, by its REST API.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::admin::table;
use super::{Answer, Output, print};
use crate::backup::stamp;
use crate::tls;

/// Creates, shows and changes services by a console's REST API.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon service create --dir ./console --name sessions --plan premium --cloud aws --region us-east-1 --wait
  pontoon service list --dir ./console
  pontoon service show s-0123456789 --dir ./console --output json
  pontoon service events s-0123456789 --url https://console.example.com:8443 --ca ca.pem --token-file token")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows all services
    #[command(after_help = "Example:\n  pontoon service list --dir ./console")]
    List(Where),
    /// Shows a service: how to connect, and its nodes; exit code 3 where it does not serve
    #[command(after_help = "Example:\n  pontoon service show s-0123456789 --dir ./console")]
    Show(One),
    /// Creates a service
    #[command(
        after_help = "Example:\n  pontoon service create --name sessions --plan premium --cloud aws --region us-east-1 --wait --dir ./console"
    )]
    Create {
        #[command(flatten)]
        place: Where,
        /// The name that people see
        #[arg(long)]
        name: String,
        /// The plan's id in the catalog: hobbyist, startup, business, premium
        #[arg(long)]
        plan: String,
        /// The cloud's id in the catalog
        #[arg(long)]
        cloud: String,
        /// The region's id in the catalog
        #[arg(long)]
        region: String,
        /// Waits until it serves with all its nodes
        #[arg(long)]
        wait: bool,
    },
    /// Gives a service another name
    #[command(
        after_help = "Example:\n  pontoon service rename s-0123456789 --name carts --dir ./console"
    )]
    Rename {
        #[command(flatten)]
        one: One,
        /// The new name
        #[arg(long)]
        name: String,
    },
    /// Powers a service off or on; its data and URI stay
    #[command(after_help = "Example:\n  pontoon service power s-0123456789 off --dir ./console")]
    Power {
        #[command(flatten)]
        one: One,
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        power: String,
    },
    /// Hands the primary's place to a standby
    #[command(after_help = "Example:\n  pontoon service hand-over s-0123456789 --dir ./console")]
    HandOver {
        #[command(flatten)]
        one: One,
        /// The standby's id [default: the one that lags least]
        #[arg(long, value_name = "ID")]
        node: Option<u64>,
    },
    /// Gives a service another plan, while it serves; its nodes follow one by one
    #[command(
        after_help = "Example:\n  pontoon service plan s-0123456789 --to premium --wait --dir ./console"
    )]
    Plan {
        #[command(flatten)]
        one: One,
        /// The plan's id in the catalog: hobbyist, startup, business, premium
        #[arg(long, value_name = "PLAN")]
        to: String,
        /// Waits until all nodes are as the plan has it
        #[arg(long)]
        wait: bool,
    },
    /// Brings a service to a release of the catalog, node by node while it serves; in its maintenance window unless --now is given
    #[command(
        after_help = "Example:\n  pontoon service upgrade s-0123456789 --to 0.2.0 --now --wait --dir ./console"
    )]
    Upgrade {
        #[command(flatten)]
        one: One,
        /// The release's id in the catalog
        #[arg(long, value_name = "RELEASE")]
        to: String,
        /// Now, and not in the maintenance window
        #[arg(long)]
        now: bool,
        /// Waits until all nodes run it
        #[arg(long, requires = "now")]
        wait: bool,
    },
    /// Gives a service another maintenance window: the hour of the week in which an upgrade that waits is begun
    #[command(
        after_help = "Example:\n  pontoon service window s-0123456789 --day sunday --hour 3 --dir ./console"
    )]
    Window {
        #[command(flatten)]
        one: One,
        /// monday to sunday
        #[arg(long, value_name = "DAY")]
        day: String,
        /// 0 to 23, UTC
        #[arg(long, value_name = "HOUR", value_parser = clap::value_parser!(u8).range(0..24))]
        hour: u8,
    },
    /// Begins a node anew; a primary hands over first where it can
    #[command(
        after_help = "Example:\n  pontoon service restart-node s-0123456789 --node 2 --dir ./console"
    )]
    RestartNode {
        #[command(flatten)]
        one: One,
        /// The node's id
        #[arg(long, value_name = "ID")]
        node: u64,
    },
    /// Replaces what a service holds by what it held at a log index or time; its URI stays
    #[command(
        after_help = "Example:\n  pontoon service restore s-0123456789 --time 2026-11-25T14:03:07Z --yes --wait --dir ./console"
    )]
    Restore {
        #[command(flatten)]
        one: One,
        /// Up to that log index
        #[arg(long, value_name = "N", conflicts_with = "time")]
        index: Option<u64>,
        /// Up to that time [default: the newest]
        #[arg(long, value_name = "TIME")]
        time: Option<String>,
        /// Keys have as much time left as they had then; otherwise they expire when they did
        #[arg(long)]
        shift_expiry: bool,
        /// That what was written since goes is meant
        #[arg(long)]
        yes: bool,
        /// Waits until it serves
        #[arg(long)]
        wait: bool,
    },
    /// Deletes a service with its data
    #[command(after_help = "Example:\n  pontoon service delete s-0123456789 --yes --dir ./console")]
    Delete {
        #[command(flatten)]
        one: One,
        /// That its data goes is meant
        #[arg(long)]
        yes: bool,
    },
    /// Shows what a service's backups hold
    #[command(after_help = "Example:\n  pontoon service backups s-0123456789 --dir ./console")]
    Backups(One),
    /// Backs a service up now: the log since the last part, or a base
    #[command(
        after_help = "Example:\n  pontoon service backup s-0123456789 --base --dir ./console"
    )]
    Backup {
        #[command(flatten)]
        one: One,
        /// A base
        #[arg(long)]
        base: bool,
    },
    /// Makes a new service of what another held at a log index or time
    #[command(
        after_help = "Example:\n  pontoon service fork s-0123456789 --name before --plan startup --time 2026-11-25T14:03:07Z --dir ./console"
    )]
    Fork {
        #[command(flatten)]
        one: One,
        /// The new service's name
        #[arg(long)]
        name: String,
        /// Its plan: hobbyist, startup, business or premium
        #[arg(long)]
        plan: String,
        /// Up to that log index
        #[arg(long, value_name = "N", conflicts_with = "time")]
        index: Option<u64>,
        /// Up to that time [default: the newest]
        #[arg(long, value_name = "TIME")]
        time: Option<String>,
        /// Keys have as much time left as they had then; otherwise they expire when they did
        #[arg(long)]
        shift_expiry: bool,
        /// Waits until it serves
        #[arg(long)]
        wait: bool,
    },
    /// Carries a running Redis into a service and follows it until the cut-over
    #[command(
        after_help = "Example:\n  PONTOON_IMPORT_SOURCE=redis://:PASSWORD@old:6379 pontoon service import s-0123456789 --dir ./console\n  pontoon service show s-0123456789 --dir ./console\n  pontoon service cut-over s-0123456789 --dir ./console"
    )]
    Import {
        #[command(flatten)]
        one: One,
        /// redis://[user:password@]host:port, or rediss:// for TLS
        #[arg(
            long,
            value_name = "URI",
            env = "PONTOON_IMPORT_SOURCE",
            hide_env_values = true
        )]
        source: String,
        /// Empties the service first
        #[arg(long)]
        replace: bool,
    },
    /// Pauses an import's source, carries over the rest, compares, and ends it
    #[command(after_help = "Example:\n  pontoon service cut-over s-0123456789 --dir ./console")]
    CutOver(One),
    /// Shows what happened, the newest first
    #[command(after_help = "Example:\n  pontoon service events --dir ./console")]
    Events {
        /// The service's id [default: all]
        id: Option<String>,
        #[command(flatten)]
        place: Where,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    /// The service's id
    id: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, clap::Args)]
struct Where {
    /// The console's address
    #[arg(
        long,
        default_value = "https://localhost:8443",
        env = "PONTOON_CONSOLE"
    )]
    url: String,
    /// The console's folder on this machine: its CA and token are there
    #[arg(long, value_name = "DIR", env = "PONTOON_CONSOLE_DIR", required_unless_present_all = ["ca", "token_file"])]
    dir: Option<PathBuf>,
    /// The CA that the console is verified with, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file whose first line is an API token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a new service may take until it serves.
const START: Duration = Duration::from_secs(120);

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    super::runtime(1)?.block_on(act(args.action))
}

async fn act(action: Action) -> anyhow::Result<Answer> {
    match action {
        Action::List(place) => {
            let all = place.ask(Method::GET, "services", None).await?;
            print(place.output, || rows_of(&all), || all.clone());
        }
        Action::Show(One { id, place }) => {
            let seen = place
                .ask(Method::GET, &format!("services/{id}"), None)
                .await?;
            print(place.output, || text_of(&seen), || seen.clone());
            let serves = ["running", "changing", "degraded"].contains(&word(&seen, "health"));
            return Ok(if serves { Answer::Yes } else { Answer::No });
        }
        Action::Create {
            place,
            name,
            plan,
            cloud,
            region,
            wait,
        } => {
            let wish = json!({"name": name, "plan": plan, "cloud": cloud, "region": region});
            let mut made = place.ask(Method::POST, "services", Some(wish)).await?;
            let id = word(&made, "id").to_string();
            if wait {
                made = serving(&place, &id).await?;
            }
            let text = || {
                if wait {
                    text_of(&made)
                } else {
                    format!("{id} is being created")
                }
            };
            print(place.output, text, || made.clone());
        }
        Action::Rename { one, name } => one.change(json!({ "name": name })).await?,
        Action::Power { one, power } => one.change(json!({ "power": power })).await?,
        Action::HandOver { one, node } => {
            let path = format!("services/{}/hand-over", one.id);
            let done = one
                .place
                .ask(Method::POST, &path, Some(json!({ "node": node })))
                .await?;
            print(
                one.place.output,
                || format!("node {} leads", done["node"]),
                || done.clone(),
            );
        }
        Action::Delete { one, yes } => {
            if !yes {
                bail!(
                    "{} and its data would be deleted: say --yes if that is meant",
                    one.id
                );
            }
            let path = format!("services/{}", one.id);
            let seen = one.place.ask(Method::DELETE, &path, None).await?;
            print(
                one.place.output,
                || format!("{} is being deleted", one.id),
                || seen.clone(),
            );
        }
        Action::Plan { one, to, wait } => {
            one.change(json!({ "plan": to })).await?;
            if wait {
                serving(&one.place, &one.id).await?;
            }
        }
        Action::Upgrade { one, to, now, wait } => {
            one.change(json!({ "upgrade": { "release": to, "now": now } }))
                .await?;
            if wait {
                serving(&one.place, &one.id).await?;
            }
        }
        Action::Window { one, day, hour } => {
            one.change(json!({ "window": { "day": day, "hour": hour } }))
                .await?;
        }
        Action::RestartNode { one, node } => {
            let path = format!("services/{}/nodes/{node}/restart", one.id);
            let done = one.place.ask(Method::POST, &path, None).await?;
            let text = || format!("node {node} was begun anew");
            print(one.place.output, text, || done.clone());
        }
        Action::Restore {
            one,
            index,
            time,
            shift_expiry,
            yes,
            wait,
        } => {
            if !yes {
                bail!(
                    "what {} holds now would be replaced: say --yes if that is meant",
                    one.id
                );
            }
            let path = format!("services/{}/restore", one.id);
            let to = json!({ "index": index, "time": time, "shift_expiry": shift_expiry });
            let mut seen = one.place.ask(Method::POST, &path, Some(to)).await?;
            if wait {
                seen = serving(&one.place, &one.id).await?;
            }
            let text = || {
                format!(
                    "{} is {}; `pontoon service events {0}` says to what",
                    one.id,
                    if wait { "restored" } else { "being restored" }
                )
            };
            print(one.place.output, text, || seen.clone());
        }
        Action::Backups(One { id, place }) => {
            let all = place
                .ask(Method::GET, &format!("services/{id}/backups"), None)
                .await?;
            print(place.output, || parts_of(&all), || all.clone());
        }
        Action::Backup { one, base } => {
            let path = format!("services/{}/backups", one.id);
            let made = one
                .place
                .ask(Method::POST, &path, Some(json!({ "base": base })))
                .await?;
            print(one.place.output, || parts_of(&made), || made.clone());
        }
        Action::Fork {
            one,
            name,
            plan,
            index,
            time,
            shift_expiry,
            wait,
        } => {
            let path = format!("services/{}/fork", one.id);
            let wish = json!({"name": name, "plan": plan, "index": index, "time": time, "shift_expiry": shift_expiry});
            let mut made = one.place.ask(Method::POST, &path, Some(wish)).await?;
            let id = word(&made["service"], "id").to_string();
            if wait {
                made["overview"] = serving(&one.place, &id).await?;
            }
            let text = || {
                format!(
                    "{id} has the data up to log index {}, time {}",
                    made["index"],
                    rfc3339(&made["time_ms"])
                )
            };
            print(one.place.output, text, || made.clone());
        }
        Action::Import {
            one,
            source,
            replace,
        } => {
            let path = format!("services/{}/import", one.id);
            let from = json!({ "source": source, "replace": replace });
            let begun = one.place.ask(Method::POST, &path, Some(from)).await?;
            let text = || {
                format!(
                    "{} is being imported; cut over with `pontoon service cut-over {}`",
                    word(&begun, "source"),
                    one.id
                )
            };
            print(one.place.output, text, || begun.clone());
        }
        Action::CutOver(One { id, place }) => {
            let path = format!("services/{id}/import/cut-over");
            let done = place.ask(Method::POST, &path, None).await?;
            let text = || format!("{id}: `pontoon service events {id}` says what came of it");
            print(place.output, text, || done.clone());
        }
        Action::Events { id, place, count } => {
            let of = id.map_or(String::new(), |id| format!("&service={id}"));
            let all = place
                .ask(Method::GET, &format!("events?count={count}{of}"), None)
                .await?;
            print(place.output, || events_of(&all), || all.clone());
        }
    }
    Ok(Answer::Yes)
}

impl One {
    async fn change(&self, change: Json) -> anyhow::Result<()> {
        let path = format!("services/{}", self.id);
        let seen = self.place.ask(Method::PATCH, &path, Some(change)).await?;
        print(
            self.place.output,
            || format!("{} is changed", self.id),
            || seen.clone(),
        );
        Ok(())
    }
}

impl Where {
    fn file(&self, given: Option<&PathBuf>, name: &str) -> anyhow::Result<PathBuf> {
        let there = || self.dir.as_ref().map(|dir| dir.join(name));
        given
            .cloned()
            .or_else(there)
            .context("give --dir, or both --ca and --token-file")
    }

    /// The answer to one request.
    async fn ask(&self, method: Method, path: &str, body: Option<Json>) -> anyhow::Result<Json> {
        let token_file = self.file(self.token_file.as_ref(), "token")?;
        let token = std::fs::read_to_string(&token_file)
            .with_context(|| token_file.display().to_string())?;
        let client = client(&self.file(self.ca.as_ref(), "ca.pem")?)?;
        let url = format!("{}/api/v1/{path}", self.url.trim_end_matches('/'));
        let mut request = client.request(method, &url).bearer_auth(token.trim());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|e| {
            let e = crate::gateway::operator::chain(&e);
            anyhow!("the console at {} does not answer: {e}", self.url)
        })?;
        let status = response.status();
        let body = response.bytes().await?;
        let answer: Json = match body.is_empty() {
            true => Json::Null,
            false => serde_json::from_slice(&body).with_context(|| {
                format!("{url} answered {status} and no JSON: is that a console?")
            })?,
        };
        if !status.is_success() {
            bail!("{}", answer["message"].as_str().unwrap_or(status.as_str()));
        }
        Ok(answer)
    }
}

fn client(ca: &Path) -> anyhow::Result<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in tls::files::certificates(ca)? {
        roots.add(certificate)?;
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&tls::provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .timeout(PATIENCE);
    Ok(client.build()?)
}

/// Waits until a service serves with all its nodes.
async fn serving(place: &Where, id: &str) -> anyhow::Result<Json> {
    let began = Instant::now();
    loop {
        let seen = place
            .ask(Method::GET, &format!("services/{id}"), None)
            .await?;
        if word(&seen, "health") == "running" && word(&seen["service"], "restore").is_empty() {
            return Ok(seen);
        }
        if began.elapsed() > START {
            bail!(
                "{id} does not serve after {} s; `pontoon service events {id}` says more",
                START.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn word<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or("")
}

fn rows_of(all: &Json) -> String {
    let mut rows = vec![
        ["id", "name", "plan", "cloud", "region", "port", "health"]
            .map(String::from)
            .to_vec(),
    ];
    for seen in all.as_array().into_iter().flatten() {
        let s = &seen["service"];
        let mut row: Vec<String> = ["id", "name", "plan", "cloud", "region"]
            .map(|k| word(s, k).to_string())
            .to_vec();
        row.extend([s["port"].to_string(), word(seen, "health").to_string()]);
        rows.push(row);
    }
    table(&rows)
}

fn text_of(seen: &Json) -> String {
    let (s, c) = (&seen["service"], &seen["connection"]);
    let mut rows = vec![
        ["node", "role", "state", "lag", "keys", "address"]
            .map(String::from)
            .to_vec(),
    ];
    for n in seen["nodes"].as_array().into_iter().flatten() {
        let state = match (n["lost"].as_bool(), n["answers"].as_bool()) {
            (Some(true), _) => "its disk is gone",
            (_, Some(true)) => "answers",
            _ => "does not answer",
        };
        rows.push(vec![
            n["id"].to_string(),
            word(n, "role").into(),
            state.into(),
            n["lag"].to_string(),
            n["keys"].to_string(),
            word(n, "client_addr").into(),
        ]);
    }
    format!(
        "{} ({}): {}, {}\nURI  {}\n{}\n{}",
        word(s, "name"),
        word(s, "id"),
        word(s, "plan"),
        word(seen, "health"),
        word(c, "uri"),
        table(&rows),
        word(seen, "doing"),
    )
}

fn parts_of(all: &Json) -> String {
    let mut rows = vec![
        ["part", "kind", "first", "last", "time", "bytes"]
            .map(String::from)
            .to_vec(),
    ];
    for b in all.as_array().into_iter().flatten() {
        rows.push(vec![
            b["number"].to_string(),
            word(b, "kind").into(),
            b["first"].to_string(),
            b["last"].to_string(),
            rfc3339(&b["time_ms"]),
            b["bytes"].to_string(),
        ]);
    }
    table(&rows)
}

fn rfc3339(ms: &Json) -> String {
    stamp(ms.as_u64().unwrap_or(0))
}

fn events_of(all: &Json) -> String {
    let rows: Vec<Vec<String>> = all
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            vec![
                rfc3339(&e["at_ms"]),
                word(e, "service").into(),
                word(e, "kind").into(),
                word(e, "text").into(),
                word(e, "by").into(),
            ]
        })
        .collect();
    table(&rows)
}
