//! Who holds a certificate: a node of this cluster, or an operator.
//!
//! The identity is one DNS name of the certificate, `node-<id>.<cluster id>.pontoon` or
//! `admin.<cluster id>.pontoon`. A certificate with none, with two, or with one of another cluster
//! has no identity here.

use super::Error;
use rustls::pki_types::CertificateDer;

/// The suffix of all identity names. Not a registered top-level domain, so no public CA signs it.
const SUFFIX: &str = ".pontoon";

/// Whom a verified certificate stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The node with this id.
    Node(u64),
    /// An operator.
    Admin,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id}"),
            Self::Admin => f.write_str("admin"),
        }
    }
}

impl Identity {
    /// The DNS name that says this identity in `cluster`.
    pub fn dns_name(self, cluster: &str) -> String {
        match self {
            Self::Node(id) => format!("node-{id}.{cluster}{SUFFIX}"),
            Self::Admin => format!("admin.{cluster}{SUFFIX}"),
        }
    }

    /// Reads the identity in `cluster` out of a certificate that is already verified.
    pub fn of(certificate: &CertificateDer<'_>, cluster: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Identity {
            cluster: cluster.to_owned(),
            reason,
        };
        let parsed =
            webpki::EndEntityCert::try_from(certificate).map_err(|e| wrong(e.to_string()))?;
        let mut found = None;
        for name in parsed.valid_dns_names().filter(|n| n.ends_with(SUFFIX)) {
            let identity = Self::from_dns_name(name, cluster).ok_or_else(|| {
                wrong(format!(
                    "it names {name}; node-<id>.{cluster}{SUFFIX} is needed"
                ))
            })?;
            if found.replace(identity).is_some() {
                return Err(wrong("it has more than one identity".into()));
            }
        }
        found.ok_or_else(|| wrong(format!("it has no DNS name node-<id>.{cluster}{SUFFIX}")))
    }

    fn from_dns_name(name: &str, cluster: &str) -> Option<Self> {
        let label = name
            .strip_suffix(SUFFIX)?
            .strip_suffix(cluster)?
            .strip_suffix('.')?;
        if label == "admin" {
            return Some(Self::Admin);
        }
        let id: u64 = label.strip_prefix("node-")?.parse().ok()?;
        // One spelling for each id: neither "+1" nor "01".
        (id > 0 && Self::Node(id).dns_name(cluster) == name).then_some(Self::Node(id))
    }
}

/// Checks that a cluster id can stand in a DNS name.
pub fn check_cluster_id(id: &str) -> Result<(), Error> {
    let fits = (1..=63).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !id.starts_with('-')
        && !id.ends_with('-');
    if fits {
        Ok(())
    } else {
        Err(Error::ClusterId(id.to_owned()))
    }
}

/// True for names that are kept for identities and must not be given to a client listener.
pub fn is_reserved(name: &str) -> bool {
    name.trim_end_matches('.')
        .to_ascii_lowercase()
        .ends_with(SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        for identity in [Identity::Node(1), Identity::Node(u64::MAX), Identity::Admin] {
            assert_eq!(
                Identity::from_dns_name(&identity.dns_name("c-1"), "c-1"),
                Some(identity)
            );
            assert_eq!(
                Identity::from_dns_name(&identity.dns_name("c-1"), "c-2"),
                None
            );
        }
        for name in [
            "node-01.c.pontoon",
            "node-+1.c.pontoon",
            "node-0.c.pontoon",
            "node-.c.pontoon",
            "node-1.x.c.pontoon",
            "node-1c.pontoon",
            "x.admin.c.pontoon",
            "node-18446744073709551616.c.pontoon",
        ] {
            assert_eq!(Identity::from_dns_name(name, "c"), None, "{name}");
        }
    }

    #[test]
    fn cluster_ids_are_dns_labels() {
        assert!(check_cluster_id("a1-b").is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"x".repeat(64)] {
            assert!(check_cluster_id(bad).is_err(), "{bad:?}");
        }
    }
}
