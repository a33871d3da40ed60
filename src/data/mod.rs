//! data: to be written.
