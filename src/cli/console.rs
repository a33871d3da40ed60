//! `pontoon console`: the control plane.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};

use super::dev::GivenArgs;
use super::{Answer, LogFormat, told_to_stop};
use crate::base::{lock, secret};
use crate::console::backups::{Archives, MASTER_KEY};
use crate::console::dns::{self, Dns};
use crate::console::hooks::Hooks;
use crate::console::{Console, Ground, auth, web};
use crate::telemetry;
use crate::tls::ca::{Authority, CA_CERT};
use crate::tls::client::Certificate;
use crate::tls::files::{self, Pair};

/// Creates services, watches them, and replaces nodes that are lost: web pages and a REST API.
///
/// The first start makes the folder: a CA and certificate, the operator's password, a token for programs. Services
/// run as processes of this machine and go on when the console ends; started again, it goes on with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon console --dir ./console
  pontoon console --dir ./console --listen 0.0.0.0:8443 --name console.example.com
  pontoon console --dir ./console --bind 0.0.0.0 --engines ./engines.toml
  pontoon console --dir ./console --dns 0.0.0.0:53 --zone cache.example.com
  curl --cacert console/ca.pem -H \"Authorization: Bearer $(cat console/token)\" https://localhost:8443/api/v1/services")]
pub struct Args {
    /// The console's folder
    #[arg(long, value_name = "DIR", env = "PONTOON_CONSOLE_DIR")]
    dir: PathBuf,
    /// Where it listens, HTTPS
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8443",
        env = "PONTOON_CONSOLE_LISTEN"
    )]
    listen: SocketAddr,
    /// A host name or IP address that browsers use, besides localhost, 127.0.0.1 and ::1
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Where backups go: a folder, or s3://bucket/path, az://container/path, gs://bucket/path [default: archive in the folder]
    #[arg(long, value_name = "URL", env = "PONTOON_BACKUP_STORE")]
    backup_store: Option<String>,
    /// The file of the master key that backups are encrypted with [default: master.key in the folder, made at the first start]
    #[arg(long, value_name = "FILE", env = "PONTOON_MASTER_KEY")]
    master_key: Option<PathBuf>,
    /// An address that is told of failovers, replacements, problems and the like as they happen, by POST, as JSON; give it again for more
    #[arg(
        long = "webhook",
        value_name = "URL",
        env = "PONTOON_WEBHOOK",
        value_delimiter = ' '
    )]
    webhooks: Vec<String>,
    /// Where a name server listens, UDP and TCP, for the names of services that are created from now on; with --zone
    #[arg(long, value_name = "ADDR:PORT", requires = "zone", env = "PONTOON_DNS")]
    dns: Option<SocketAddr>,
    /// The zone of those names: ID.ZONE leads to a service's primary, replica.ID.ZONE to its standbys
    #[arg(long, value_name = "ZONE", requires = "dns", value_parser = dns::zone, env = "PONTOON_ZONE")]
    zone: Option<String>,
    /// The address that the gateways of new services listen at; clients of other machines need another than the default
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1",
        env = "PONTOON_SERVICE_BIND"
    )]
    bind: IpAddr,
    #[command(flatten)]
    given: GivenArgs,
    /// The file of Docker engines on which the services of regions without engines of their own run as containers [default: none, they are processes of this machine]
    #[arg(long, value_name = "FILE", env = "PONTOON_ENGINES")]
    engines: Option<PathBuf>,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t, env = "PONTOON_LOG_FORMAT")]
    log_format: LogFormat,
}

/// How often the certificate's files are looked at for renewed ones.
const RENEWAL: std::time::Duration = std::time::Duration::from_secs(30);

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    telemetry::start(args.log_format.into(), "info", None).map_err(|e| anyhow!(e))?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&args.dir)
        .with_context(|| format!("the folder {} cannot be made", args.dir.display()))?;
    let dir = args.dir.canonicalize()?;
    let path = dir.join("lock");
    let Some(_lock) = lock::take(&path).with_context(|| path.display().to_string())? else {
        bail!("a console runs on {} already", dir.display());
    };
    let authority = match dir.join(CA_CERT).exists() {
        true => Authority::open(&dir)?,
        false => Authority::create(&dir, "Pontoon console")?,
    };
    let pair = Pair {
        cert: dir.join("console.pem"),
        key: dir.join("console.key"),
    };
    if !pair.cert.exists() || !args.names.is_empty() {
        authority
            .issue_server(&args.names)?
            .write(&dir, "console")?;
    }
    let certificate = Certificate::open(pair)?;
    let key = match args.master_key {
        Some(path) => path,
        None => {
            let path = dir.join(MASTER_KEY);
            if !path.exists() {
                secret::write(&path, &hex::encode(rand::random::<[u8; 32]>()))
                    .with_context(|| path.display().to_string())?;
                tracing::warn!(
                    "made {}: without it no backup can be read; keep a copy elsewhere",
                    path.display()
                );
            }
            path
        }
    };
    let archive = args
        .backup_store
        .unwrap_or_else(|| dir.join("archive").display().to_string());
    let archives = Archives::open(archive, key, dir.join("scratch"))?;
    super::runtime(2)?.block_on(async {
        let _renewal = files::watch(&certificate, RENEWAL);
        let listener = tokio::net::TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("{} cannot be listened on", args.listen))?;
        let at = listener.local_addr()?;
        let names = args.dns.zip(args.zone);
        let names = names.map(|(listen, zone)| dns::Options { listen, zone });
        let hooks = Hooks::begin(&args.webhooks)?;
        let ground = Ground {
            bind: args.bind,
            certificate: args.given.again()?,
            engines: args.engines.map(std::path::absolute).transpose()?,
        };
        let console = Console::open(&dir, archives, hooks, names.clone(), &ground)?;
        let dns = match &names {
            Some(options) => Some(Dns::start(options, &console).await?),
            None => None,
        };
        tracing::info!(
            %at,
            password = %dir.join(auth::PASSWORD).display(),
            token = %dir.join(auth::TOKEN).display(),
            "the console serves https://localhost:{}", at.port()
        );
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(web::serve(
            console,
            listener,
            certificate.server_config()?,
            async {
                drop(stopped.await);
            },
        ));
        told_to_stop().await?;
        drop(stop);
        // Pages that follow a service never end by themselves.
        let patience = std::time::Duration::from_secs(1);
        let _ = tokio::time::timeout(patience, serving).await;
        if let Some(dns) = dns {
            dns.stop().await;
        }
        tracing::info!("the console has stopped; its services go on");
        Ok(Answer::Yes)
    })
}
