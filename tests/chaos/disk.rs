//! Disks whose power can be cut: each node's data on an ext4 of its own, on a loop device.
//!
//! Always: what was not synced when the power went is gone. Mounts are made in a mount namespace of this process
//! (see `main.rs`), so that none outlives it. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::cluster::wait_for;

/// EXT4_IOC_SHUTDOWN, with the journal flushed, or not. 0 would sync everything, which no power cut does.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
    for path, flag in zip(sys.argv[1::2], sys.argv[2::2]):\n    \
        fcntl.ioctl(os.open(path, os.O_RDONLY), 0x8004587d, struct.pack('I', int(flag)))\n";
/// The size of a disk, sparse. The nodes stop taking writes near a full one.
const SIZE: u64 = 3 << 30;
/// How long a node that was killed may hold its disk.
const FREE_WITHIN: Duration = Duration::from_secs(10);

/// Whether this process may mount.
pub fn possible() -> bool {
    rustix::process::geteuid().is_root()
}

/// The disks of a cluster in a folder.
pub struct Disks {
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl Disks {
    /// Makes a disk for the data of each node of the cluster that will be in `dir`. The images are in `images`.
    ///
    /// # Errors
    /// When one cannot be made or mounted.
    pub fn make(dir: &Path, images: &Path, nodes: u64) -> anyhow::Result<Disks> {
        let mut disks = Disks { mounts: Vec::new() };
        for id in 1..=nodes {
            let image = images.join(format!("disk-{id}"));
            std::fs::File::create(&image)?.set_len(SIZE)?;
            run("mkfs.ext4", &["-q", "-F"], &image)?;
            let mount = dir.join(format!("node-{id}/data"));
            std::fs::create_dir_all(&mount)?;
            mount_at(&image, &mount)?;
            disks.mounts.push((image, mount));
        }
        Ok(disks)
    }

    /// Cuts the power of the disks of nodes: from now on they fail, and what they had not synced is lost.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn cut(&self, nodes: &[u64], flag: u8) -> anyhow::Result<()> {
        ensure!(matches!(flag, 1 | 2), "flag {flag} is no power cut");
        let mut command = Command::new("python3");
        command.args(["-c", SHUT_DOWN]);
        for id in nodes {
            command.arg(&self.of(*id)?.1).arg(flag.to_string());
        }
        let done = command.output().context("python3")?;
        ensure!(
            done.status.success(),
            "the disk was not shut down: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    /// The power is back: mounts the disk of a node, whose process must have ended.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn restore(&self, node: u64) -> anyhow::Result<()> {
        let (image, mount) = self.of(node)?;
        // A killed process's last threads may hold its files for a moment after it is gone.
        wait_for("a disk that nobody uses", FREE_WITHIN, || {
            run("umount", &[], mount).ok()
        })?;
        mount_at(image, mount)
    }

    fn of(&self, node: u64) -> anyhow::Result<&(PathBuf, PathBuf)> {
        self.mounts
            .get(node as usize - 1)
            .context("a node with a disk")
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for (_, mount) in &self.mounts {
            let _ = run("umount", &["-l"], mount);
        }
    }
}

fn mount_at(image: &Path, mount: &Path) -> anyhow::Result<()> {
    let image = image.display().to_string();
    run("mount", &["-o", "loop", &image], mount)
}

fn run(program: &str, args: &[&str], path: &Path) -> anyhow::Result<()> {
    let done = Command::new(program)
        .args(args)
        .arg(path)
        .output()
        .with_context(|| program.to_string())?;
    if !done.status.success() {
        bail!(
            "{program} {}: {}",
            path.display(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(())
}
