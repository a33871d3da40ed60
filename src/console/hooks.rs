//! Webhooks: what happened, told to addresses of the operator's choice as it happens.
//!
//! Always: an event is told at most a few times and dropped then; who does not answer holds up nothing, and a full queue drops
//! the newest. The events in the database are what counts.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::store::Note;
use crate::base::limits::HOOKS_QUEUED_MAX;

/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one event is told at most, and the pause in between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// The kinds of events that are told: what someone may have to act on.
pub const KINDS: [&str; 7] = [
    "problem",
    "failover",
    "replacement",
    "restore",
    "proof",
    "setting",
    "delete",
];

/// What is sent, as JSON.
#[derive(Debug, Serialize)]
struct Told {
    at_ms: i64,
    service: Option<String>,
    organization: String,
    kind: String,
    text: String,
    by: String,
}

/// Who is told.
pub struct Hooks(Option<mpsc::Sender<Told>>);

impl Hooks {
    /// Tells each of `urls`, https or http, from now on. Of the process's runtime.
    ///
    /// # Errors
    /// When one is no such address.
    pub fn begin(urls: &[String]) -> anyhow::Result<Hooks> {
        for text in urls {
            let parsed = url::Url::parse(text);
            anyhow::ensure!(
                parsed.is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host()),
                "{text:?} is no address of a webhook: give https://host/path"
            );
        }
        if urls.is_empty() {
            return Ok(Hooks(None));
        }
        // What speaks TLS here takes the process's default; that there is one already is fine.
        let _ = rustls::crypto::CryptoProvider::install_default((*crate::tls::provider()).clone());
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let (out, mut queue) = mpsc::channel::<Told>(HOOKS_QUEUED_MAX);
        let urls = urls.to_vec();
        tokio::spawn(async move {
            while let Some(told) = queue.recv().await {
                for url in &urls {
                    tell(&client, url, &told).await;
                }
            }
        });
        Ok(Hooks(Some(out)))
    }

    /// Tells of an event, where it is of a kind that is told.
    pub(super) fn tell(&self, at_ms: i64, note: &Note<'_>) {
        let Some(out) = self.0.as_ref().filter(|_| KINDS.contains(&note.kind)) else {
            return;
        };
        let told = Told {
            at_ms,
            service: note.service.map(str::to_string),
            organization: note.org.into(),
            kind: note.kind.into(),
            text: note.text.into(),
            by: note.by.into(),
        };
        if out.try_send(told).is_err() {
            tracing::warn!("a webhook is behind: an event was not told");
        }
    }
}

async fn tell(client: &reqwest::Client, url: &str, told: &Told) {
    for left in (0..TRIES).rev() {
        let why = match client.post(url).json(told).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => format!("it answered {}", answer.status()),
            Err(error) => crate::gateway::operator::chain(&error.without_url()),
        };
        if left == 0 {
            tracing::warn!(why, kind = told.kind, "a webhook was not told of an event");
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
