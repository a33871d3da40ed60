//! Redis's commands as an operator.

use anyhow::bail;
use serde_json::{Value as Json, json};

use super::target::Cluster;
use crate::cli::{Answer, Output, print};
use crate::resp::Value;

/// A command.
#[derive(Debug, clap::Args)]
pub struct Command {
    /// The node's id [default: the primary]
    #[arg(long, value_name = "ID")]
    node: Option<u64>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs it; a refusal is an error.
pub async fn command(
    cluster: &Cluster,
    command: &Command,
    output: Output,
) -> anyhow::Result<Answer> {
    let node = match command.node {
        Some(id) => cluster.node(id).await?,
        None => cluster.leader().await?,
    };
    let mut talk = cluster.talk(&node).await?;
    let reply = talk.ask(&command.words).await?;
    if let Value::Error(text) = &reply {
        bail!("{text}");
    }
    print(output, || text(&reply, 0), || json_of(&reply));
    Ok(Answer::Yes)
}

fn text(value: &Value, depth: usize) -> String {
    let list = |values: &[Value]| {
        let lines: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(i, v)| {
                format!(
                    "{}{}) {}",
                    "  ".repeat(depth),
                    i + 1,
                    text(v, depth + 1).trim_start()
                )
            })
            .collect();
        lines.join("\n")
    };
    match value {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("(error) {text}"),
        Value::Int(n) => n.to_string(),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Value::Null | Value::NullArray => "(nil)".into(),
        Value::Array(v) | Value::Set(v) | Value::Push(v) if v.is_empty() => "(empty)".into(),
        Value::Array(v) | Value::Set(v) | Value::Push(v) => list(v),
        Value::Map(pairs) => {
            let flat: Vec<Value> = pairs
                .iter()
                .flat_map(|(k, v)| [k.clone(), v.clone()])
                .collect();
            list(&flat)
        }
        Value::Double(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::BigNumber(digits) => digits.clone(),
        Value::Attribute(_, of) => text(of, depth),
    }
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Simple(text) | Value::BigNumber(text) => json!(text),
        Value::Error(text) => json!({ "error": text }),
        Value::Int(n) => json!(n),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => json!(String::from_utf8_lossy(bytes)),
        Value::Null | Value::NullArray => Json::Null,
        Value::Array(v) | Value::Set(v) | Value::Push(v) => v.iter().map(json_of).collect(),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(k, v)| (text(k, 0), json_of(v)))
            .collect::<serde_json::Map<String, Json>>()
            .into(),
        Value::Double(n) => json!(n),
        Value::Bool(b) => json!(b),
        Value::Attribute(_, of) => json_of(of),
    }
}
