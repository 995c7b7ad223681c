//! COPY and ADD as a layer straight from the source. Nobody looks at the files of the last step of many images, so they are
//! never made; where somebody does, files and layer are made at once, of one plan.

use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::thread::Builder;

use jettison_layer::Error as LayerError;
use jettison_layer::copy::{self, CopyError, CopyOptions, Plan};
use jettison_layer::select::Selection;
use jettison_plan::{Copy, StepId};
use jettison_store::{Draft, LayerRecord};

use super::copy::Part;
use super::{FromContext, Target};
use crate::build::Build;
use crate::demand::Held;
use crate::error::Error;
use crate::filesystem;
use crate::keys::{self, Known};

/// What came of an attempt to make a layer straight from the source.
pub(super) enum Direct {
    /// There it is, and what was asked for besides.
    Done(Known),
    /// It could not be known to give the same bytes.
    Unfit,
    /// Files changed since the key was made.
    Changed,
}

impl Build<'_> {
    /// The copy as a layer straight from its source, and as a snapshot if files are asked for: both of one plan, at once.
    pub(super) fn copy_to_layer(
        &self,
        step: StepId,
        copy: &Copy,
        target: &Target<'_>,
    ) -> Result<Direct, Error> {
        let store = self.images.store;
        let options = self.copy_options(step, copy)?;
        let mut parts = self.parts(step, copy)?;
        let part = match (parts.pop(), options.inline.is_empty()) {
            (Some(part), true) if parts.is_empty() => part,
            (None, false) => Part {
                root: filesystem::open_directory(store.empty_dir())?,
                selection: Selection::default(),
                unpack: false,
                force_owner: None,
                from_context: None,
            },
            // Several places are copied one after the other.
            _ => return Ok(Direct::Unfit),
        };
        let Part { root, mut selection, unpack, force_owner, from_context } = part;
        let options = CopyOptions { unpack, force_owner, ..options };
        if let Some(context) = self.contexts.get(&copy.from).filter(|_| copy.is_local()) {
            // The layer is made of this selection, file by file as it was when it was hashed: so it must be the key's.
            let digest =
                self.hash_selected(copy, &mut selection, &root, keys::mask(copy, context.has_owners))?;
            if self.chosen().get(&step).is_none_or(|chosen| chosen.digest != digest) {
                return Ok(Direct::Changed);
            }
        }
        let failed = |source| Error::Copy { span: self.plan.steps[step].span, source };
        let base = match target.input.filter(|_| !copy.link) {
            None => None,
            input => Some(filesystem::open_to_read(store, input)?),
        };
        let base = base.as_ref().map(AsFd::as_fd);
        let plan = copy::plan(&selection, root.as_fd(), base, &options).map_err(failed)?;
        let Some(plan) = plan else { return Ok(Direct::Unfit) };
        let lowers = target.input.map_or(Ok(Vec::new()), |input| filesystem::open_chain(store, input))?;
        let lowers: Vec<_> = lowers.iter().map(AsFd::as_fd).collect();
        let planned = plan.layer(&lowers, Some(self.epoch)).map_err(Self::no_layer)?;
        let Some(planned) = planned else { return Ok(Direct::Unfit) };
        let files = match target.ask {
            Held::Files => Some((store.begin_snapshot(target.input)?, plan)),
            // What a plan of many files takes is needed no more.
            _ => {
                drop(plan);
                None
            }
        };
        let write = |(draft, plan): &(Draft, Plan<'_>)| {
            plan.write(Self::open_draft(draft, copy)?.as_fd()).map_err(failed)
        };
        let (written, record) = beside(files.as_ref().map(|files| || write(files)), || {
            self.write_layer(&planned.entries, &planned, self.request.threads)
        })?;
        let Some(record) = self.unless_changed(written, record, from_context.as_slice())? else {
            return Ok(Direct::Changed);
        };
        let draft = files.map(|(draft, _)| draft);
        let parameters = self.layer_parameters();
        let snapshot = match (draft, &target.again) {
            (None, None) => store.record_layer_only(target.input, &parameters, &record)?,
            (None, Some(id)) => {
                store.record_encoded_layer(id, &parameters, &record)?;
                id.clone()
            }
            (Some(draft), _) => {
                let id = draft.commit()?;
                store.record_encoded_layer(&id, &parameters, &record)?;
                return Ok(Direct::Done(Known { snapshot: id, held: Held::Files }));
            }
        };
        let from = root.try_clone().map_err(Error::io("open", "what is copied"))?;
        self.note_listing(snapshot.clone(), planned.into_listing(from));
        Ok(Direct::Done(Known { snapshot, held: Held::Layer }))
    }

    /// The layer, if files and layer were made; `None` if what was copied is not any more what was selected.
    fn unless_changed(
        &self,
        written: Result<(), Error>,
        record: Result<LayerRecord, Error>,
        from_contexts: &[FromContext],
    ) -> Result<Option<LayerRecord>, Error> {
        match (written, record) {
            (_, Err(Error::Layer { source: LayerError::Changed { .. }, .. })) => Ok(None),
            (Err(Error::Copy { source: CopyError::Layer(LayerError::Changed { .. }), .. }), _) => Ok(None),
            // A file that is gone since it was selected, say.
            (Err(_), _) if !self.are_unchanged(from_contexts)? => Ok(None),
            (written, record) => written.and(record).map(Some),
        }
    }
}

/// What came of two things.
type Both<T> = (Result<(), Error>, Result<T, Error>);

/// Does two things at once: `this` on a thread of its own, if there is anything to do.
fn beside<T>(
    this: Option<impl FnOnce() -> Result<(), Error> + Send>,
    that: impl FnOnce() -> Result<T, Error>,
) -> Result<Both<T>, Error> {
    std::thread::scope(|scope| {
        let this = this.map(|this| Builder::new().spawn_scoped(scope, this)).transpose();
        let this = this.map_err(Error::io("start", "a thread"))?;
        let that = that();
        let this = this.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok((this.unwrap_or(Ok(())), that))
    })
}
