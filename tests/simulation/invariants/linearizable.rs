//! Every key's history is linearizable: there is an order of its operations that explains each reply.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::Operation;
use crate::wgl::{Verdict, check};

pub fn look(histories: &BTreeMap<String, Vec<Operation>>, wrong: &mut Vec<String>) {
    for (key, history) in histories {
        // Time stands still here: what bounds the search is its memory.
        match check(history, Instant::now() + Duration::from_secs(60)) {
            Verdict::Linearizable => {}
            Verdict::Undecided => wrong.push(format!("linearizable: {key} could not be decided")),
            Verdict::Violation(v) => {
                let mut text = format!(
                    "linearizable: {key} is not linearizable: {} of {} replies explained, then held {:?}:",
                    v.explained,
                    history.len(),
                    v.held.as_deref().map(String::from_utf8_lossy)
                );
                for operation in v.blocked.iter().take(6) {
                    text += &format!("\n    {operation}");
                }
                wrong.push(text);
            }
        }
    }
}
