//! Service time's course, kept across restarts of a node: a node that was just begun and leads at once has seen no leader at
//! work in this life, and would believe its wall clock.
//!
//! Always: what is kept counts on the same boot of the same machine alone, whose clock goes on; so it needs no sync.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::work;
use crate::engine::Engine;
use crate::engine::clock::Course;

/// The file in a node's data folder.
const FILE: &str = "course.json";
/// How often it is written.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    boot: String,
    course: Course,
}

/// What was kept on this boot. A file that cannot be read is as good as none.
pub fn read(dir: &Path, boot: &str) -> Option<Course> {
    let kept: Kept = serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()?;
    (kept.boot == boot).then_some(kept.course)
}

fn write(dir: &Path, boot: String, course: Course) -> std::io::Result<()> {
    let new = dir.join(FILE).with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&Kept { boot, course })?)?;
    std::fs::rename(new, dir.join(FILE))
}

/// Keeps it until the engine ends. One that cannot be written is said once.
pub async fn keep(engine: Weak<Engine>, dir: PathBuf, boot: String) {
    let mut said = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(engine): Option<Arc<Engine>> = engine.upgrade() else {
            return;
        };
        let course = engine.locked().await.course;
        drop(engine);
        let (dir, boot) = (dir.clone(), boot.clone());
        let written = work::blocking(move || write(&dir, boot, course)).await;
        if let Ok(Err(error)) = written
            && !said
        {
            said = true;
            tracing::warn!(%error, "service time's course is not kept: a restarted node believes its wall clock");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_boot_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), "b").is_none());
        let mut course = Course::default();
        course.saw(7_000, 9);
        write(dir.path(), "b".into(), course).unwrap();
        assert_eq!(read(dir.path(), "b"), Some(course));
        assert!(read(dir.path(), "c").is_none());
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(read(dir.path(), "b").is_none());
    }
}
