//! The catalog: plans, clouds and regions that a service can be created with. A file that an operator edits.
//!
//! A region can have Docker engines, on which its services run as containers. Elsewhere a cloud and a region are labels.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::Service;
use super::provider::Place;

/// The default one.
const DEFAULT: &str = include_str!("catalog.toml");
/// The plans that nodes know of.
const PLANS: [&str; 4] = ["hobbyist", "startup", "business", "premium"];

/// All that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// In the order in which they are shown.
    #[serde(rename = "plan")]
    pub plans: Vec<Plan>,
    /// In the order in which they are shown.
    #[serde(rename = "cloud")]
    pub clouds: Vec<Cloud>,
    /// Versions that services can run, the one for new services first. The console's own program is always the last.
    #[serde(rename = "release", default)]
    pub releases: Vec<Release>,
}

/// A version that services can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// In the API.
    pub id: String,
    /// For people.
    pub name: String,
    /// The absolute path of its program on the host.
    #[serde(skip_serializing)]
    pub program: String,
    /// Its image on the Docker engines, for regions that have them; empty where there is none.
    #[serde(skip_serializing, default)]
    pub image: String,
}

/// The id of the console's own program as a release.
pub const OWN: &str = "console";

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// hobbyist, startup, business or premium.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its nodes, for people.
    pub nodes: String,
    /// The memory of one data node, MiB.
    pub memory_mib: u32,
    /// The processor time of one data node, % of one processor; 0 is no bound. Held to where nodes are containers.
    #[serde(default)]
    pub cpu_percent: u64,
    /// How far back its backups reach, for people.
    pub history: String,
    /// The same in days; 0 is the newest state alone.
    #[serde(default)]
    pub history_days: u32,
    /// What it costs, for people.
    pub price: String,
}

/// A cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cloud {
    /// In the API.
    pub id: String,
    /// For people.
    pub name: String,
    /// Where it has services.
    #[serde(rename = "region")]
    pub regions: Vec<Region>,
}

/// A region of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// In the API.
    pub id: String,
    /// For people.
    pub name: String,
    /// The file of the Docker engines on which its services run; none, they are processes of the console's machine.
    #[serde(skip_serializing, default)]
    #[schema(ignore)]
    pub engines: Option<PathBuf>,
}

impl Release {
    /// What nodes are begun with: an image where they are containers, else a program.
    pub fn begins(&self, containers: bool) -> &str {
        match containers {
            true => &self.image,
            false => &self.program,
        }
    }

    /// Whether it can be had there: the console's own is the engines' default image.
    pub fn is_for(&self, containers: bool) -> bool {
        !containers || self.id == OWN || !self.image.is_empty()
    }
}

impl Catalog {
    /// The operator's file, or the default where there is none. Regions without engines of their own have `engines`.
    ///
    /// # Errors
    /// When it cannot be read, or names a plan that no node knows.
    pub fn open(path: &Path, engines: Option<&Path>) -> anyhow::Result<Catalog> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => DEFAULT.to_string(),
            read => read.with_context(|| path.display().to_string())?,
        };
        let mut catalog: Catalog =
            toml::from_str(&text).with_context(|| path.display().to_string())?;
        for plan in &catalog.plans {
            ensure!(
                PLANS.contains(&plan.id.as_str()),
                "{}: there is no plan {:?}; it is one of {}",
                path.display(),
                plan.id,
                PLANS.join(", ")
            );
            ensure!(
                (64..=1 << 20).contains(&plan.memory_mib),
                "{}: plan {} has memory_mib = {}; it is between 64 and 1048576",
                path.display(),
                plan.id,
                plan.memory_mib
            );
            ensure!(
                plan.history_days <= 3650,
                "{}: plan {} has history_days = {}; it is at most 3650",
                path.display(),
                plan.id,
                plan.history_days
            );
        }
        for release in &catalog.releases {
            let program = Path::new(&release.program);
            ensure!(
                program.is_absolute() && program.is_file() && release.id != OWN,
                "{}: the release {:?} has the program {:?}; it is the absolute path of a file, and {OWN:?} is the console's own",
                path.display(),
                release.id,
                release.program
            );
        }
        catalog.releases.push(Release {
            id: OWN.into(),
            name: format!("the console's own ({})", env!("CARGO_PKG_VERSION")),
            program: String::new(),
            image: String::new(),
        });
        for region in catalog.clouds.iter_mut().flat_map(|c| &mut c.regions) {
            if region.engines.is_none() {
                region.engines = engines.map(Path::to_path_buf);
            }
            if let Some(engines) = &region.engines {
                ensure!(
                    engines.is_absolute() && engines.is_file(),
                    "{}: region {} has engines = {engines:?}; it is the absolute path of a file of Docker engines",
                    path.display(),
                    region.id
                );
            }
        }
        ensure!(
            !catalog.plans.is_empty() && catalog.clouds.iter().any(|c| !c.regions.is_empty()),
            "{}: at least one plan and one region are needed",
            path.display()
        );
        Ok(catalog)
    }

    /// The plan of that id.
    pub fn plan(&self, id: &str) -> Option<&Plan> {
        self.plans.iter().find(|p| p.id == id)
    }

    /// The release of that id.
    pub fn release(&self, id: &str) -> Option<&Release> {
        self.releases.iter().find(|r| r.id == id)
    }

    /// The engines of a service's region, if it has some.
    pub fn engines(&self, service: &Service) -> Option<&Path> {
        let (_, region) = self.region(&service.cloud, &service.region)?;
        region.engines.as_deref()
    }

    /// Whether a service's nodes are containers, or will be: what it is counts once it is, since its region may have got
    /// engines since, or lost them.
    pub fn has_containers(&self, service: &Service, place: Option<&Place>) -> bool {
        let known = place.filter(|p| !p.nodes.is_empty());
        known.map_or(self.engines(service).is_some(), Place::is_of_containers)
    }

    /// The cloud and region of those ids.
    pub fn region(&self, cloud: &str, region: &str) -> Option<(&Cloud, &Region)> {
        let cloud = self.clouds.iter().find(|c| c.id == cloud)?;
        let region = cloud.regions.iter().find(|r| r.id == region)?;
        Some((cloud, region))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_four_plans_and_four_clouds_with_us_and_eu() {
        let catalog = Catalog::open(Path::new("no such file"), None).unwrap();
        assert_eq!(catalog.plans.len(), 4);
        assert_eq!(catalog.clouds.len(), 4);
        assert!(catalog.clouds.iter().all(|c| c.regions.len() == 2));
        assert!(catalog.region("aws", "eu-central-1").is_some());
        assert!(catalog.region("aws", "fra1").is_none());
        assert_eq!(catalog.releases[0].id, OWN);
    }

    #[test]
    fn a_wrong_file_says_what_would_be_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.toml");
        let with = |from: &str, to: &str| {
            std::fs::write(&path, DEFAULT.replacen(from, to, 1)).unwrap();
            format!("{:#}", Catalog::open(&path, None).unwrap_err())
        };
        let plan = with("\"startup\"", "\"tiny\"");
        assert!(
            plan.contains("there is no plan \"tiny\"; it is one of hobbyist"),
            "{plan}"
        );
        let memory = with("memory_mib = 256", "memory_mib = 1");
        assert!(memory.contains("between 64 and 1048576"), "{memory}");
        let release = with(
            "[[plan]]",
            "[[release]]\nid = \"8\"\nname = \"8\"\nprogram = \"pontoon\"\n[[plan]]",
        );
        assert!(release.contains("absolute path of a file"), "{release}");
    }
}
