//! tls: to be written.
