//! The end of a build: the layers of the result, its config and manifest, and every output that was asked for.
//!
//! Nothing gets a name before everything else has succeeded.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use jettison_oci::{Descriptor, Manifest, Platform, Reference};
use jettison_plan::{Fs, StepId};
use jettison_store::{LayerRecord, SnapshotId};

use crate::assemble::{self, Documents, Layer};
use crate::build::Build;
use crate::error::Error;
use crate::event::Verdict;
use crate::filesystem;
use crate::output::archive::{self, ArchiveImage};
use crate::output::files::{self, Tree};
use crate::output::mirror;
use crate::parts::{Chain, LeftBehind};
use crate::request::{AnnotationPlace, Annotations, BuildOutcome, BuiltImage, LayerCompression, Output};
use crate::tasks::Done;

/// What one platform came to.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The image, if an output wants one.
    image: Option<(ArchiveImage, BuiltImage)>,
    /// Its files, if an output wants them.
    root: Option<OwnedFd>,
    /// What is attached to the image.
    attestation: Option<(Descriptor, Manifest)>,
    /// What the inspector said of the image.
    verdict: Option<Verdict>,
}

/// Makes the outputs of all platforms.
pub(crate) fn outputs(builds: &[Build<'_>], finished: Vec<Finished>) -> Result<BuildOutcome, Error> {
    let first = &builds[0];
    let platforms: Vec<Platform> = builds.iter().map(|build| build.plan.platform.clone()).collect();
    let (mut images, mut trees, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    let mut attached = Vec::new();
    for (result, platform) in finished.into_iter().zip(&platforms) {
        verdicts.extend(result.verdict.map(|verdict| (platform.clone(), verdict)));
        images.extend(result.image);
        attached.extend(result.attestation);
        trees.extend(result.root.map(|root| (root, platform)));
    }
    let mut outcome = BuildOutcome {
        image: None,
        platforms: platforms.clone(),
        steps_run: 0,
        steps_cached: 0,
        tagged: Vec::new(),
        pushed: Vec::new(),
        verdicts,
    };
    let whole = match (images.pop(), images.is_empty() && !first.request.index && attached.is_empty()) {
        (None, _) => None,
        (Some(only), true) => Some(only),
        (Some(last), false) => {
            images.push(last);
            Some(first.index(images, &platforms, attached)?)
        }
    };
    if let Some((archive_image, built)) = whole {
        for output in &first.request.outputs {
            first.archive(output, &archive_image)?;
        }
        outcome.image = Some(built);
        first.export_files(trees)?;
        // What is written about an image beside it is not part of its name here.
        let descriptor = Descriptor { annotations: Annotations::new(), ..archive_image.descriptor };
        first.publish(&descriptor, &mut outcome)?;
    } else {
        first.export_files(trees)?;
    }
    (outcome.steps_run, outcome.steps_cached) = first.tasks.counts();
    Ok(outcome)
}

/// The folder of a platform's files: `linux_arm_v7`.
fn folder_of(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

impl Build<'_> {
    /// Image and files of this platform.
    pub(crate) fn result(&self) -> Result<Finished, Error> {
        let (base, steps) = self.target_chain();
        let snapshots = self.chain_snapshots(&steps)?;
        let image = if self.wants_image() {
            let task = self.tasks.add("exporting image".to_owned());
            let (documents, layers) =
                self.tasks.run(task, || Ok((self.image(base, &snapshots)?, Done::Ran)))?;
            let manifest = serde_json::from_slice(&documents.manifest).expect("we have just written it");
            let mut descriptor = documents.manifest_descriptor.clone();
            let place = AnnotationPlace::ManifestDescriptor;
            descriptor.annotations = self.request.annotations(place, Some(&self.plan.platform));
            let archive_image = ArchiveImage {
                manifests: vec![(descriptor.clone(), manifest)],
                descriptor,
                names: self.request.tags.clone(),
            };
            if let Some(top) = snapshots.last()
                && self.images.store.snapshot(top)?.is_some()
            {
                self.images.record_built(&documents.manifest_descriptor.digest, top)?;
            }
            let verdict = self.inspect(&documents)?;
            let attestation = self.attest(&documents)?;
            Some((archive_image, self.built(&documents, &layers, &snapshots)?, verdict, attestation))
        } else {
            None
        };
        let root = if self.wants_files() {
            let fs = steps.last().map_or(base, |step| Fs::Step(*step));
            let snapshot = self.fs_snapshot(fs)?.expect("the files of the result were made");
            Some(filesystem::open(self.images.store, snapshot.as_ref())?)
        } else {
            None
        };
        let (image, verdict, attestation) = match image {
            Some((image, built, verdict, attestation)) => (Some((image, built)), verdict, attestation),
            None => (None, None, None),
        };
        Ok(Finished { image, root, attestation, verdict })
    }

    /// The index over the images of all platforms, written into the store.
    fn index(
        &self,
        images: Vec<(ArchiveImage, BuiltImage)>,
        platforms: &[Platform],
        attached: Vec<(Descriptor, Manifest)>,
    ) -> Result<(ArchiveImage, BuiltImage), Error> {
        let manifests: Vec<&Descriptor> = images.iter().map(|(image, _)| &image.descriptor).collect();
        let annotations = self.request.annotations(AnnotationPlace::Index, None);
        let types = self.compression().docker_types;
        let attestations: Vec<Descriptor> =
            attached.iter().map(|(descriptor, _)| descriptor.clone()).collect();
        let (bytes, mut descriptor) =
            assemble::index(&manifests, platforms, &attestations, types, annotations);
        self.images.store.put_blob(&bytes)?;
        descriptor.annotations = self.request.annotations(AnnotationPlace::IndexDescriptor, None);
        // Platforms have the same stages; the largest of each stands for all.
        let mut left: Vec<LeftBehind> =
            images.iter().flat_map(|(_, built)| built.left_behind.clone()).collect();
        left.sort_by_key(|stage| std::cmp::Reverse(stage.bytes));
        let mut names = BTreeSet::new();
        left.retain(|stage| names.insert(stage.name.clone()));
        let built = BuiltImage {
            manifest: Descriptor { annotations: Annotations::new(), ..descriptor.clone() },
            config: None,
            compressed_bytes: images.iter().map(|(_, built)| built.compressed_bytes).sum(),
            uncompressed_bytes: images.iter().map(|(_, built)| built.uncompressed_bytes).sum(),
            parts: Vec::new(),
            chain: Chain::default(),
            left_behind: left,
            platforms: platforms.iter().cloned().zip(images.iter().map(|(_, built)| built.clone())).collect(),
        };
        let manifests = images.into_iter().flat_map(|(image, _)| image.manifests).chain(attached).collect();
        Ok((ArchiveImage { descriptor, manifests, names: self.request.tags.clone() }, built))
    }

    /// The snapshot of each of `steps`, base first: the parents of the last one. Taken from the last result and not
    /// from each step's own, so that the layers fit on each other whatever was looked up when.
    fn chain_snapshots(&self, steps: &[StepId]) -> Result<Vec<SnapshotId>, Error> {
        let Some(last) = steps.last() else { return Ok(Vec::new()) };
        let mut snapshots = Vec::with_capacity(steps.len());
        let mut next = self.progress(*last).result.map(|known| known.snapshot);
        for _ in steps {
            let id = next.expect("every step has a snapshot, and its parent is the step before it");
            next = self.images.store.lineage(&id)?.and_then(|lineage| lineage.parent);
            snapshots.push(id);
        }
        snapshots.reverse();
        Ok(snapshots)
    }

    /// Encodes what is not encoded yet and writes config and manifest into the store.
    fn image(&self, base: Fs, snapshots: &[SnapshotId]) -> Result<(Documents, Vec<(Layer, u64)>), Error> {
        let base_image = match base {
            Fs::Image(image) => Some(&self.bases[image]),
            _ => None,
        };
        let mut layers = Vec::new();
        let mut squashed = None;
        if let (true, Some(top)) = (self.request.squash, snapshots.last()) {
            layers.push(self.squashed(top, snapshots)?);
            let base = base_image.map(|image| &image.manifest.config.digest);
            squashed = Some(assemble::squash_comment(snapshots.len(), base));
        } else {
            for snapshot in snapshots {
                layers.push(self.encoded(snapshot, self.request.threads)?);
            }
        }
        let format = self.compression().format;
        let layer_of = |record: LayerRecord| {
            let descriptor = Descriptor::new(format.oci_layer(), record.digest, record.size);
            (Layer { diff_id: record.diff_id, descriptor }, record.uncompressed_size)
        };
        let layers: Vec<(Layer, u64)> = layers.into_iter().map(layer_of).collect();
        let mut base_layers = base_image.map_or(Vec::new(), |i| assemble::layers(&i.manifest, &i.config));
        if self.compression().force {
            for layer in &mut base_layers {
                self.recompress(layer)?;
            }
        }
        let new: Vec<Layer> = layers.iter().map(|(layer, _)| layer.clone()).collect();
        let types = self.compression().docker_types;
        let annotations = self.request.annotations(AnnotationPlace::Manifest, Some(&self.plan.platform));
        let target = self.plan.target();
        let documents =
            assemble::assemble(target, &base_layers, &new, self.epoch, types, annotations, squashed);
        self.images.store.put_blob(&documents.config)?;
        self.images.store.put_blob(&documents.manifest)?;
        Ok((documents, layers))
    }

    /// The compression of new layers: that of the first output that says one.
    pub(crate) fn compression(&self) -> LayerCompression {
        let said = self.request.outputs.iter().find_map(|output| match output {
            Output::Image { compression, .. } | Output::Archive { compression, .. } => Some(*compression),
            _ => None,
        });
        let said = said.unwrap_or_default();
        // in-toto has no place in Docker's family; BuildKit takes OCI's types then as well.
        LayerCompression { docker_types: said.docker_types && !self.request.attestations.wanted(), ..said }
    }

    fn archive(&self, output: &Output, image: &ArchiveImage) -> Result<(), Error> {
        let Output::Archive { format, names, destination, tar, .. } = output else { return Ok(()) };
        let mut image = image.clone();
        let new: Vec<Reference> = names.iter().filter(|name| !image.names.contains(name)).cloned().collect();
        image.names.extend(new);
        let task = self.tasks.add("writing archive".to_owned());
        self.tasks.run(task, || {
            let images = std::slice::from_ref(&image);
            match (tar, destination) {
                (false, crate::request::Destination::Path(folder)) => {
                    archive::write_folder(self.images.store, images, *format, folder, self.epoch)?;
                }
                _ => archive::write_tar(self.images.store, images, *format, destination, self.epoch)?,
            }
            Ok(((), Done::Ran))
        })
    }

    /// Writes the files of the result for `local` and `tar` outputs.
    fn export_files(&self, roots: Vec<(OwnedFd, &Platform)>) -> Result<(), Error> {
        let several = roots.len() > 1;
        let trees = |split: Option<bool>| -> Result<Vec<Tree>, Error> {
            let folder = |platform: &Platform| {
                if split.unwrap_or(several) { folder_of(platform) } else { String::new() }
            };
            let tree = |(root, platform): &(OwnedFd, &Platform)| {
                let root = root.try_clone().map_err(Error::io("open", "the files of the result"))?;
                Ok(Tree { root, folder: folder(platform) })
            };
            roots.iter().map(tree).collect()
        };
        for output in &self.request.outputs {
            match output {
                Output::Tar { destination, platform_split } => {
                    let trees = trees(*platform_split)?;
                    let task = self.tasks.add("writing tar".to_owned());
                    self.tasks.run(task, || {
                        files::write_tar(&trees, destination, self.request, self.images.store)?;
                        Ok(((), Done::Ran))
                    })?;
                }
                Output::Local { destination, platform_split, delete } => {
                    let trees = trees(*platform_split)?;
                    let task = self.tasks.add(format!("copying files to {}", destination.display()));
                    self.tasks.run(task, || {
                        if *delete {
                            mirror::remove_others(&trees, destination)?;
                        }
                        Ok((files::copy_to(&trees, destination)?, Done::Ran))
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Tags and pushes, last of all.
    fn publish(&self, manifest: &Descriptor, outcome: &mut BuildOutcome) -> Result<(), Error> {
        let store = self.images.store;
        let mut names: Vec<Reference> = self.request.tags.clone();
        let mut pushes = Vec::new();
        for output in &self.request.outputs {
            let Output::Image { names: more, push, by_digest, digest_name, .. } = output else { continue };
            let has_name = *by_digest || !more.is_empty() || !self.request.tags.is_empty();
            if let Some(name) = digest_name
                && !(name.only_if_nameless && has_name)
            {
                names.push(name.prefix.with_digest(manifest.digest.clone()));
            }
            if *by_digest {
                let named = |name: &Reference| name.with_digest(manifest.digest.clone());
                pushes.extend(more.iter().filter(|_| *push).map(named));
                continue;
            }
            names.extend(more.iter().filter(|n| !self.request.tags.contains(n)).cloned());
            if *push {
                pushes
                    .extend(names.iter().filter(|name| !pushes.contains(name)).cloned().collect::<Vec<_>>());
            }
        }
        for name in &names {
            store.tag(name, manifest)?;
            outcome.tagged.push(name.clone());
        }
        for name in pushes {
            let task = self.tasks.add(format!("pushing {}", name.familiar()));
            let digest = self.tasks.run(task, || {
                Ok((self.images.push(&name, manifest, &self.tasks.progress(task))?, Done::Ran))
            })?;
            outcome.pushed.push((name, digest));
        }
        Ok(())
    }

    fn built(
        &self,
        documents: &Documents,
        new: &[(Layer, u64)],
        snapshots: &[SnapshotId],
    ) -> Result<BuiltImage, Error> {
        let (base, _) = self.target_chain();
        let manifest: Manifest =
            serde_json::from_slice(&documents.manifest).expect("we have just written it");
        let compressed = manifest.packed_bytes();
        let mut uncompressed: u64 = new.iter().map(|(_, size)| size).sum();
        if let Fs::Image(_) = base {
            uncompressed += self.fs_bytes(base)?.unwrap_or(0);
        }
        Ok(BuiltImage {
            manifest: documents.manifest_descriptor.clone(),
            config: Some(documents.config_descriptor.digest.clone()),
            compressed_bytes: compressed,
            uncompressed_bytes: uncompressed,
            parts: self.image_parts(
                &documents.parsed_config,
                &new.iter().map(|(_, size)| *size).collect::<Vec<_>>(),
            )?,
            chain: self.chain_of(snapshots),
            left_behind: self.stages_left(&documents.manifest_descriptor.digest)?,
            platforms: Vec::new(),
        })
    }
}
