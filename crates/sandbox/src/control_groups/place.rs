//! Where groups for steps can be made: below the group that we are in, or below `--cgroup-parent`.
//!
//! In the second version a group with processes cannot have limited groups below it. So if ours cannot, the next one
//! above it is asked, up to the top that we see: for root that is the machine's, for a plain user the part that systemd has
//! given to it. Where that fails the reason is kept ([`Missing`]): a build without a limit is better than none, but not in silence.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::group::{self, ControlGroup, Unmade};
use super::hierarchy::{self, Hierarchy};
use super::settings::{Controller, Resources, Setting, Version, settings};
use crate::Error;

/// Files from which a new group of the first version takes what it must have before it can have members.
const INHERITED: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Where groups for the steps of a build are made.
#[derive(Debug)]
pub struct ControlGroups {
    places: Vec<Place>,
    /// Made for `--cgroup-parent`, outer ones first.
    made: Vec<PathBuf>,
}

/// Where in one hierarchy.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) parent: PathBuf,
    pub(super) settings: Vec<Setting>,
}

/// Something that was asked for and cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What: the name of a controller, of a file of one, or `cgroup-parent`.
    pub what: String,
    /// Why.
    pub reason: String,
}

impl ControlGroups {
    /// Looks for places, and tries once whether the kernel takes the limits. Costs a few milliseconds; not to be called if
    /// nothing is limited. `None`: there is no place at all.
    ///
    /// # Errors
    /// [`Error::Limit`] if the kernel refuses a value.
    pub fn find(
        resources: &Resources,
        cgroup_parent: Option<&str>,
    ) -> Result<(Option<Self>, Vec<Missing>), Error> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let hierarchies = hierarchy::hierarchies(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        let mut groups = Self { places: Vec::new(), made: Vec::new() };
        let mut missing = Vec::new();
        match cgroup_parent {
            Some(parent) => groups.find_below(parent, resources, &hierarchies, &mut missing),
            None => groups.find_own(resources, &hierarchies, &mut missing),
        }
        for place in &groups.places {
            group::remove_leftovers(&place.parent);
        }
        while !groups.places.is_empty() {
            match ControlGroup::make(&groups.places) {
                Ok(_) => return Ok((Some(groups), missing)),
                Err((index, why)) => groups.do_without(index, why, &mut missing)?,
            }
        }
        Ok((None, missing))
    }

    /// A new group, for one step.
    ///
    /// # Errors
    /// If the kernel does not make it, although it did so when this was found.
    pub fn make(&self) -> Result<ControlGroup, Error> {
        ControlGroup::make(&self.places).map_err(|(index, why)| {
            let place = self.places[index].parent.display();
            match why {
                Unmade::Place(error) => {
                    Error::System { action: format!("make a control group in {place}"), errno: error.into() }
                }
                Unmade::NoFile(setting) => refused(setting, &io::ErrorKind::NotFound.into()),
                Unmade::Value(setting, error) => refused(setting, &error),
            }
        })
    }

    /// Below our own groups, or those above them.
    fn find_own(&mut self, resources: &Resources, hierarchies: &[Hierarchy], missing: &mut Vec<Missing>) {
        let mut of_v2: Vec<Controller> = Vec::new();
        for controller in Controller::ALL {
            let mut limits = settings(resources, Version::V1);
            limits.retain(|setting| setting.controller == controller);
            if limits.is_empty() {
                continue;
            }
            match hierarchies.iter().find(|h| h.controllers.iter().any(|name| name == controller.name())) {
                Some(h) => {
                    self.add(Place { version: Version::V1, parent: h.own.clone(), settings: limits });
                }
                None => of_v2.push(controller),
            }
        }
        let unified = hierarchies.iter().find(|h| h.version == Version::V2);
        let found = |controllers: &[Controller]| {
            let h = unified.ok_or_else(|| "no control groups are mounted here".to_owned())?;
            with_controllers(&h.own, &h.top, controllers)
        };
        // A process is in one group of the second version only, so that must have all; or all that can be had.
        if found(&of_v2).is_err() {
            of_v2.retain(|controller| match found(&[*controller]) {
                Ok(_) => true,
                Err(reason) => {
                    missing.push(Missing { what: controller.name().to_owned(), reason });
                    false
                }
            });
        }
        if of_v2.is_empty() {
            return;
        }
        match found(&of_v2) {
            Ok(parent) => {
                let mut settings = settings(resources, Version::V2);
                settings.retain(|setting| of_v2.contains(&setting.controller));
                self.add(Place { version: Version::V2, parent, settings });
            }
            Err(reason) => missing
                .extend(of_v2.iter().map(|c| Missing { what: c.name().to_owned(), reason: reason.clone() })),
        }
    }

    /// Below a group that the user names, in every hierarchy.
    fn find_below(
        &mut self,
        parent: &str,
        resources: &Resources,
        hierarchies: &[Hierarchy],
        missing: &mut Vec<Missing>,
    ) {
        let mut lacks: Vec<Controller> = Controller::ALL.to_vec();
        lacks.retain(|c| settings(resources, Version::V1).iter().any(|s| s.controller == *c));
        // The first version first: what it limits the second cannot.
        let unified = hierarchies.iter().filter(|h| h.version == Version::V2);
        let named = |h: &&Hierarchy| !h.controllers.is_empty() && !h.controllers[0].starts_with("name=");
        for h in hierarchies.iter().filter(named).chain(unified) {
            let is_here = |c: &Controller| match h.version {
                Version::V1 => h.controllers.iter().any(|name| name == c.name()),
                Version::V2 => has_word(&h.top.join("cgroup.controllers"), c.name()),
            };
            let here: Vec<Controller> = lacks.iter().copied().filter(is_here).collect();
            lacks.retain(|c| !here.contains(c));
            match self.make_parents(h, parent, &here) {
                Ok(parent) => {
                    let mut settings = settings(resources, h.version);
                    settings.retain(|setting| here.contains(&setting.controller));
                    self.add(Place { version: h.version, parent, settings });
                }
                Err(reason) => missing.push(Missing { what: "cgroup-parent".to_owned(), reason }),
            }
        }
        let reason = "no hierarchy that is mounted here has this controller";
        missing
            .extend(lacks.iter().map(|c| Missing { what: c.name().to_owned(), reason: reason.to_owned() }));
    }

    fn make_parents(
        &mut self,
        hierarchy: &Hierarchy,
        parent: &str,
        controllers: &[Controller],
    ) -> Result<PathBuf, String> {
        let mut path = hierarchy.top.clone();
        for part in Path::new(parent).components() {
            let Component::Normal(name) = part else { continue };
            if hierarchy.version == Version::V2 {
                controllers.iter().try_for_each(|controller| enable(&path, *controller))?;
            }
            let above = path.clone();
            path.push(name);
            match fs::create_dir(&path) {
                Ok(()) => self.made.push(path.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot_make(&above, &error)),
            }
            inherit(&above, &path).map_err(|error| cannot_make(&above, &error))?;
        }
        if hierarchy.version == Version::V2 {
            controllers.iter().try_for_each(|controller| enable(&path, *controller))?;
            let common = hierarchy.own.ancestors().find(|above| path.starts_with(above));
            may_have_members(common.unwrap_or(&hierarchy.top))?;
        }
        Ok(path)
    }

    fn add(&mut self, place: Place) {
        match self.places.iter_mut().find(|other| other.parent == place.parent) {
            Some(other) => other.settings.extend(place.settings),
            None => self.places.push(place),
        }
    }

    /// What did not work is left out, or is an error if the user can change it.
    fn do_without(&mut self, index: usize, why: Unmade, missing: &mut Vec<Missing>) -> Result<(), Error> {
        match why {
            Unmade::Value(setting, error) if is_permission(&error) => {
                let reason = format!("cannot write {}: {}", setting.file, crate::Errno::from(error));
                self.drop_setting(index, &setting, reason, missing);
            }
            Unmade::Value(setting, error) => return Err(refused(setting, &error)),
            Unmade::NoFile(setting) => {
                let reason = "this kernel does not have it".to_owned();
                self.drop_setting(index, &setting, reason, missing);
            }
            Unmade::Place(error) => {
                let place = self.places.remove(index);
                let reason = cannot_make(&place.parent, &error);
                let mut names: Vec<&str> = place.settings.iter().map(|s| s.controller.name()).collect();
                names.dedup();
                if names.is_empty() {
                    names.push("cgroup-parent");
                }
                missing.extend(
                    names.iter().map(|what| Missing { what: (*what).to_owned(), reason: reason.clone() }),
                );
            }
        }
        Ok(())
    }

    fn drop_setting(&mut self, index: usize, setting: &Setting, reason: String, missing: &mut Vec<Missing>) {
        let settings = &mut self.places[index].settings;
        settings.retain(|other| other != setting);
        if settings.is_empty() {
            self.places.remove(index);
        }
        missing.push(Missing { what: setting.file.to_owned(), reason });
    }
}

impl Drop for ControlGroups {
    fn drop(&mut self) {
        // Those that somebody else uses by now stay.
        for path in self.made.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

impl Place {
    /// Gives a new group what it must have before it can have members.
    pub(super) fn inherit(&self, path: &Path) -> io::Result<()> {
        if self.version == Version::V2 {
            return Ok(());
        }
        inherit(&self.parent, path)
    }
}

fn inherit(above: &Path, path: &Path) -> io::Result<()> {
    for file in INHERITED {
        let is_unset = fs::read_to_string(path.join(file)).is_ok_and(|text| text.trim().is_empty());
        // The second version has these files too; there an empty one means what is above.
        let is_v1 = !path.join("cgroup.controllers").exists();
        if is_unset && is_v1 {
            group::write(&path.join(file), fs::read_to_string(above.join(file))?.trim())?;
        }
    }
    Ok(())
}

/// The group, ours or one above it, below which groups with these controllers can be made (second version).
fn with_controllers(own: &Path, top: &Path, controllers: &[Controller]) -> Result<PathBuf, String> {
    let mut first = None;
    for path in own.ancestors().take_while(|path| path.starts_with(top)) {
        let tried = controllers.iter().try_for_each(|controller| enable(path, *controller));
        match tried.and_then(|()| may_have_members(path)) {
            Ok(()) => return Ok(path.to_owned()),
            Err(reason) => first = first.or(Some(reason)),
        }
    }
    Err(first.unwrap_or_else(|| "the control group that this is in cannot be seen".to_owned()))
}

/// Whether groups can be made below this one, and processes moved from somewhere below it to them (second version).
fn may_have_members(path: &Path) -> Result<(), String> {
    let trial = path.join(format!("jettison-{}-trial", std::process::id()));
    fs::create_dir(&trial).map_err(|error| cannot_make(path, &error))?;
    let _ = fs::remove_dir(&trial);
    // The kernel asks for this when somebody is moved.
    let members = fs::File::options().write(true).open(path.join("cgroup.procs"));
    members.map(drop).map_err(|error| cannot_make(path, &error))
}

/// Lets groups below this one have a controller.
fn enable(path: &Path, controller: Controller) -> Result<(), String> {
    let (name, place) = (controller.name(), path.display());
    if has_word(&path.join("cgroup.subtree_control"), name) {
        return Ok(());
    }
    if !has_word(&path.join("cgroup.controllers"), name) {
        return Err(format!("the control group {place} does not have the controller {name}"));
    }
    group::write(&path.join("cgroup.subtree_control"), &format!("+{name}")).map_err(|error| {
        if error.kind() == io::ErrorKind::ResourceBusy {
            format!("the control group {place} has processes of its own, so none below it can have limits")
        } else {
            cannot_make(path, &error)
        }
    })
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|other| other == word))
}

fn cannot_make(path: &Path, error: &io::Error) -> String {
    let errno = crate::Errno(error.raw_os_error().unwrap_or(libc::EIO));
    format!("no control group can be made in {}: {errno}", path.display())
}

fn is_permission(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn refused(setting: Setting, error: &io::Error) -> Error {
    let errno = crate::Errno(error.raw_os_error().unwrap_or(libc::EIO));
    Error::Limit { file: setting.file.to_owned(), value: setting.value, errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as the kernel has them in groups of the second version.
    fn group(path: &Path, controllers: &str, enabled: &str) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("cgroup.controllers"), controllers).unwrap();
        fs::write(path.join("cgroup.subtree_control"), enabled).unwrap();
        fs::write(path.join("cgroup.procs"), "").unwrap();
    }

    #[test]
    fn the_nearest_group_that_can_have_limited_ones_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        let (slice, own) = (top.join("user.slice"), top.join("user.slice/session"));
        group(top, "cpu memory", "cpu memory");
        group(&slice, "cpu memory", "memory");
        group(&own, "memory", "");
        let found = |controllers: &[Controller]| with_controllers(&own, top, controllers);
        // The file system of this test lets us write, so that is our own group.
        assert_eq!(found(&[Controller::Memory]), Ok(own.clone()));
        assert_eq!(fs::read_to_string(own.join("cgroup.subtree_control")).unwrap(), "+memory");
        assert_eq!(found(&[Controller::Memory, Controller::Cpu]), Ok(slice));
        assert_eq!(
            found(&[Controller::Cpuset]).unwrap_err(),
            format!("the control group {} does not have the controller cpuset", own.display())
        );
        assert!(with_controllers(&own, &top.join("elsewhere"), &[Controller::Memory]).is_err());
    }
}
