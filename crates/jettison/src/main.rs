//! The program: arguments, commands, errors with hints and exit codes.

fn main() {}
