//! What the planner is told about images, and what it answers while it does not know enough of them.

use std::collections::BTreeMap;

use jettison_oci::{ImageConfig, Platform, Reference};

use crate::graph::{Image, Plan};

/// Configs of images that are known so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    configs: BTreeMap<(Reference, Platform), ImageConfig>,
}

impl Images {
    /// Remembers the config that `reference` has on `platform`.
    pub fn insert(&mut self, reference: Reference, platform: Platform, config: ImageConfig) {
        self.configs.insert((reference, platform), config);
    }

    /// The config, if it is known.
    pub fn get(&self, reference: &Reference, platform: &Platform) -> Option<&ImageConfig> {
        // Two strings are cheap to clone next to what a config is worth.
        self.configs.get(&(reference.clone(), platform.clone()))
    }
}

/// What planning came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The configs of these images are needed; resolve them and plan again.
    NeedsImages(Vec<Image>),
    /// Everything is known.
    Ready(Plan),
}
