//! Tar to tree to blob in one pass: apply, diff, encode, compress.
