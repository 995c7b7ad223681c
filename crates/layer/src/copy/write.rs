//! A plan is carried out in a tree: the one that it was made for, unchanged since.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Timespec, Timestamps};

use super::plan::Plan;
use super::tree::Node;
use super::{CopyError, file};
use crate::inside::{self, NO_LINKS};

impl Plan<'_> {
    /// Makes everything in the tree `to`.
    pub fn write(&self, to: BorrowedFd<'_>) -> Result<(), CopyError> {
        // The first name of each item, once it is made; further ones are linked to it.
        let mut made: Vec<Option<&[u8]>> = vec![None; self.items.len()];
        let mut open: Option<(&[u8], OwnedFd)> = None;
        for (path, node) in &self.nodes {
            let (above, name) = inside::split(path);
            let shown = [b"/", &path[..]].concat();
            if open.as_ref().is_none_or(|(path, _)| *path != above) {
                let opened = inside::open_dir(to, above, NO_LINKS);
                open = Some((above, opened.map_err(|errno| CopyError::io("open", &shown, errno))?));
            }
            let (_, parent) = open.as_ref().expect("it was just opened");
            let parent = parent.as_fd();
            match node {
                Node::Directory(directory) => {
                    let opened = file::make_directory(parent, name, directory, &shown)?;
                    open = Some((path, opened));
                }
                Node::Item { item, replaces } => {
                    if *replaces {
                        file::remove(parent, name, &shown)?;
                    }
                    match made[*item] {
                        Some(first) => hard_link(to, first, parent, name, &shown)?,
                        None => file::make(self.from, &self.items[*item], parent, name, &shown)?,
                    }
                    made[*item].get_or_insert(path);
                }
            }
        }
        // Only now: making entries changes the time of what holds them. By path, for there may be more directories
        // than a process may have files open.
        for (path, node) in &self.nodes {
            if let Node::Directory(directory) = node
                && let Some(time) = directory.time
            {
                set_time(to, path, time)?;
            }
        }
        let root = self.late.iter().rev().find(|(path, _)| path.is_empty());
        root.map_or(Ok(()), |(path, time)| set_time(to, path, *time))
    }
}

fn hard_link(
    to: BorrowedFd<'_>,
    first: &[u8],
    parent: BorrowedFd<'_>,
    name: &[u8],
    shown: &[u8],
) -> Result<(), CopyError> {
    let (above, last) = inside::split(first);
    inside::open_dir(to, above, NO_LINKS)
        .and_then(|directory| rustix::fs::linkat(&directory, last, parent, name, AtFlags::empty()))
        .map_err(|errno| CopyError::io("link", shown, errno))
}

/// Sets the time of a directory.
pub(super) fn set_time(
    to: BorrowedFd<'_>,
    path: &[u8],
    (seconds, nanoseconds): (i64, u32),
) -> Result<(), CopyError> {
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) };
    let times = Timestamps { last_access: time, last_modification: time };
    inside::open_dir(to, path, NO_LINKS)
        .and_then(|directory| rustix::fs::futimens(&directory, &times))
        .map_err(|errno| CopyError::io("set the time of", &[b"/", path].concat(), errno))
}
