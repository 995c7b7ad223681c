//! Run one process in isolation; the only crate with unsafe code.
