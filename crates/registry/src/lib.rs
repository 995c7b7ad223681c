//! The distribution protocol: pull, push, credentials, retry.
