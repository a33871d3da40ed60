//! server: to be written.
