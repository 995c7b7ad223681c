//! Tags.
use jettison_oci::{Descriptor, Reference};

use crate::{Error, Store};

/// An image with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its name.
    pub reference: Reference,
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// When it got the name, seconds since 1970.
    pub created_s: i64,
}

impl Store {
    /// Gives an image a name, taking the name from whatever had it. The manifest must be in the store.
    pub fn tag(&self, reference: &Reference, descriptor: &Descriptor) -> Result<(), Error> {
        let _ = (reference, descriptor);
        todo!()
    }
    /// The image of that name.
    pub fn image(&self, reference: &Reference) -> Result<Option<ImageRecord>, Error> {
        let _ = reference;
        todo!()
    }
    /// All names, in their order.
    pub fn images(&self) -> Result<Vec<ImageRecord>, Error> {
        todo!()
    }
    /// Takes a name away; false if there was none. The image's bytes stay until the next prune.
    pub fn untag(&self, reference: &Reference) -> Result<bool, Error> {
        let _ = reference;
        todo!()
    }
    /// Images that `text` may mean: the name, else all whose digest begins with it.
    pub fn resolve(&self, text: &str) -> Result<Vec<ImageRecord>, Error> {
        let _ = text;
        todo!()
    }
}
