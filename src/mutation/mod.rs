//! mutation: to be written.
