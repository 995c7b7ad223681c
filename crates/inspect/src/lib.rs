//! What is in an image: tree, sizes, files.
