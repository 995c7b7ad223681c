//! State on disk: blobs, snapshots, the index, locks, garbage collection.
