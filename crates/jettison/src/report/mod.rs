//! What checks found, as people and as programs read it: one file for each form.

pub(crate) mod json;
pub(crate) mod sarif;
#[cfg(test)]
mod tests;
pub(crate) mod text;
