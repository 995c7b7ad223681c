//! `cargo xtask bench`.
pub fn run(_: &[String]) -> anyhow::Result<()> {
    anyhow::bail!("not written yet")
}
