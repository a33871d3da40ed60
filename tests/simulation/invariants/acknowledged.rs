//! No acknowledged write is lost: every element that was acknowledged is in its list at the end, and every sum at least
//! what was acknowledged. The linearizability of each key says the same of all kinds; this names the loss.

use std::collections::BTreeMap;

use crate::model::{Op, Operation, Reply};

pub fn look(histories: &BTreeMap<String, Vec<Operation>>, wrong: &mut Vec<String>) {
    for (key, history) in histories {
        let last = history
            .iter()
            .filter_map(|o| match &o.reply {
                Some(Reply::Read(value)) => Some((o.call, value)),
                _ => None,
            })
            .max_by_key(|(call, _)| *call);
        let Some((call, value)) = last else {
            continue;
        };
        let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
        let done = history.iter().filter(|o| o.reply.is_some() && o.end < call);
        let mut sum = 0;
        for operation in done {
            match &operation.op {
                Op::Push(element) => {
                    let element = String::from_utf8_lossy(element);
                    let count = text.split_inclusive(' ').filter(|e| *e == element).count();
                    if count != 1 {
                        wrong.push(format!(
                            "acknowledged: {key} has {count} times what was acknowledged once: {operation}"
                        ));
                    }
                }
                Op::Add(by) => sum += by,
                _ => {}
            }
        }
        if sum > 0 && text.parse::<i64>().unwrap_or(0) < sum {
            wrong.push(format!(
                "acknowledged: {key} is {text} at the end, and {sum} was acknowledged"
            ));
        }
    }
}
