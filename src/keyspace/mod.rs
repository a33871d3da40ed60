//! keyspace: to be written.
