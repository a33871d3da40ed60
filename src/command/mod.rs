//! command: to be written.
