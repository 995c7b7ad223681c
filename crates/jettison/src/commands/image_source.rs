//! Images for commands that only look: from the store, from a registry, from an archive or a folder.
//!
//! An archive is read into a store of its own, which is gone afterwards: looking at a file changes nothing.

use std::fs::File;
use std::path::Path;

use jettison_engine::{Files, Image, Images, Loaded};
use jettison_oci::{Platform, Reference};
use jettison_registry::Client;
use jettison_store::{ScratchDir, Store, UseGuard};

use super::names;
use crate::args;
use crate::environment::Environment;
use crate::failure::{Failure, Kind};
use crate::progress;

/// Prefixes of skopeo's that say where an archive is.
const PREFIXES: [&str; 4] = ["oci-archive:", "docker-archive:", "oci-layout://", "oci:"];

/// One or more images, and the store that they lie in.
#[derive(Debug)]
pub(super) struct Source {
    /// Where they lie; for archives a store that goes when this goes.
    pub(super) store: Store,
    /// The images, with what to call them.
    pub(super) images: Vec<(String, Image)>,
    registry: Client,
    _in_use: UseGuard,
    /// For archives: the folder of that store, and the store that the folder is in.
    _inside: Option<(ScratchDir, Store)>,
}

impl Source {
    /// Finds what `text` means.
    pub(super) fn open(text: &str, platform: &Platform, environment: &Environment) -> Result<Self, Failure> {
        let store = environment.store()?;
        let registry = environment.registry()?;
        let in_use = store.use_shared()?;
        let prefixed = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        let path = prefixed.or_else(|| is_path(&store, text).then_some(text));
        if let Some(path) = path {
            return Self::archive(path, platform, store, registry, environment);
        }
        let images = environment.images(&store, &registry);
        let image = named(text, platform, images)?;
        Ok(Self { images: vec![(text.to_owned(), image)], registry, _in_use: in_use, _inside: None, store })
    }

    fn archive(
        path: &str,
        platform: &Platform,
        store: Store,
        registry: Client,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let scratch = store.scratch_dir()?;
        let own = Store::open(scratch.path())?;
        let in_use = own.use_shared()?;
        let file = File::open(path).map_err(|e| Failure::io("open", path, &e))?;
        let loaded = if file.metadata().is_ok_and(|m| m.is_dir()) {
            jettison_engine::load_folder(&own, &file.into())?
        } else {
            jettison_engine::load(&own, file)?
        };
        let images = environment.images(&own, &registry);
        let mut found = Vec::new();
        for Loaded { descriptor, names } in loaded {
            let label = names.first().cloned().unwrap_or_else(anonymous);
            let image = images.from_store(&label, &descriptor, platform)?.ok_or_else(|| {
                Failure::new(Kind::Image, format!("{path}: it has no image for {platform}"))
                    .hint("name another platform with --platform")
            })?;
            let name = names.first().map_or_else(|| descriptor.digest.to_string(), Reference::familiar);
            found.push((name, image));
        }
        Ok(Self { images: found, registry, _in_use: in_use, _inside: Some((scratch, store)), store: own })
    }

    /// The one image that `text` means.
    pub(super) fn only(&self, text: &str) -> Result<(&str, &Image), Failure> {
        let [(name, image)] = &self.images[..] else {
            let names: Vec<&str> = self.images.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("{text}: it has {} images: {}", names.len(), names.join(", "));
            return Err(Failure::new(Kind::Image, message)
                .hint(format!("`jettison load -i {text}`, and take one by its name")));
        };
        Ok((name, image))
    }

    /// The images' own way to their parts.
    pub(super) fn access<'a>(&'a self, environment: &'a Environment) -> Images<'a> {
        environment.images(&self.store, &self.registry)
    }

    /// The files of an image; what is only in the registry is fetched.
    pub(super) fn files(&self, image: &Image, environment: &Environment) -> Result<Files, Failure> {
        let images = self.access(environment);
        let files = images.files(image)?;
        if let Files::Layers(_) = files {
            self.fetch(image, environment)?;
        }
        Ok(files)
    }

    /// Makes sure that the layers of an image are here.
    pub(super) fn fetch(&self, image: &Image, environment: &Environment) -> Result<(), Failure> {
        let mut missing = false;
        for layer in &image.manifest.layers {
            missing |= self.store.has_blob(&layer.digest)?.is_none();
        }
        if !missing {
            return Ok(());
        }
        let images = self.access(environment);
        let name = format!("pull {}", image.reference.familiar());
        progress::transfer(args::Progress::Auto, "Pulling", &name, |progress| {
            Ok(images.fetch(image, progress)?)
        })
    }
}

/// The platform of `--platform`, or this machine's.
pub(super) fn platform(text: Option<&str>) -> Result<Platform, Failure> {
    text.map_or_else(|| Ok(Platform::host()), |text| text.parse().map_err(Failure::usage))
}

fn anonymous() -> Reference {
    "image".parse().expect("a valid name")
}

/// Whether people mean a file: it looks like one and is there, and no image has that name.
fn is_path(store: &Store, text: &str) -> bool {
    (text.starts_with(['.', '/'])
        || Path::new(text).is_file()
        || Path::new(text).join("oci-layout").is_file())
        && Path::new(text).exists()
        && names::find(store, text).is_err()
}

fn named(text: &str, platform: &Platform, images: Images<'_>) -> Result<Image, Failure> {
    let reference = text.parse::<Reference>().ok();
    if let Ok((name, descriptor)) = names::find(images.store, text) {
        let label = name.or(reference).unwrap_or_else(anonymous);
        if let Some(image) = images.from_store(&label, &descriptor, platform)? {
            return Ok(image);
        }
    }
    Ok(images.resolve(&names::reference(text)?, platform, false)?)
}
