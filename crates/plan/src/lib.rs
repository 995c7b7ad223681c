//! Instructions to a graph of steps, pruned to the target, with cache keys.
