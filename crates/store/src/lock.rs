//! Locks.
use std::ops::ControlFlow;
use std::time::Duration;

use crate::{Error, Store};

impl Store {
    /// Takes the lock of a step; waits while another thread or process has it.
    pub fn lock_step(&self, key: &str) -> Result<StepGuard, Error> {
        let _ = key;
        todo!()
    }
    /// Like [`Store::lock_step`], but while it waits it calls `waiting` (with the time waited so far) every few
    /// milliseconds, which may end the wait.
    pub fn lock_step_with(
        &self,
        key: &str,
        waiting: &mut dyn FnMut(Duration) -> ControlFlow<()>,
    ) -> Result<StepGuard, Error> {
        let _ = (key, waiting);
        todo!()
    }
    /// Says that the store is in use: nothing is pruned while any process holds this.
    pub fn use_shared(&self) -> Result<UseGuard, Error> {
        todo!()
    }
}

/// The lock of a step; released on drop.
#[derive(Debug)]
pub struct StepGuard {}

/// Keeps prune away; released on drop.
#[derive(Debug)]
pub struct UseGuard {}
