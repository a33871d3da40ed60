//! gateway: to be written.
