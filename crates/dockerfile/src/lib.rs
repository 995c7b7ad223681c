//! Dockerfile text to typed instructions with spans; words, heredocs, ignore files.
