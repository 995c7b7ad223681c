//! Carry out a plan: schedule, steps, cache, assemble, outputs.
