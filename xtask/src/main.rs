//! What people run: demo, test, ci, bench, dist, tidy.

fn main() {}
