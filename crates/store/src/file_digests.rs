//! file_digests
