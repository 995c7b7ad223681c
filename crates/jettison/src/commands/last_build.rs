//! What is kept of the last build, in the store, for `why` and `report`.

use jettison_engine::{BuildOutcome, BuiltImage};
use jettison_store::Store;
use jettison_ui::record::{Area, PlatformImage, Record};

use crate::failure::{Failure, Kind};
use crate::progress::View;

/// Where it is kept.
const MEMO: &str = "why last build";
/// Larger records are not kept, bytes.
const RECORD_BYTES_MAX: usize = 4 << 20;

/// Keeps what was seen of a build; without it `why` and `report` know less, and nothing else.
pub(super) fn remember(
    store: &Store,
    view: &View,
    outcome: Option<&BuildOutcome>,
    areas: Vec<Area>,
) -> Record {
    let mut record = view.record();
    record.areas = areas;
    record.succeeded = outcome.is_some();
    if let Some(outcome) = outcome {
        record.names = outcome.tagged.iter().map(jettison_oci::Reference::familiar).collect();
        if let Some(image) = &outcome.image {
            record.digest = Some(image.manifest.digest.to_string());
            record.bytes = image.uncompressed_bytes;
            record.pull_bytes = image.compressed_bytes;
            record.left_behind = left_behind(image);
            record.platforms = image
                .platforms
                .iter()
                .map(|(platform, image)| PlatformImage {
                    platform: platform.to_string(),
                    digest: image.manifest.digest.to_string(),
                    bytes: image.uncompressed_bytes,
                    pull_bytes: image.compressed_bytes,
                    left_behind: left_behind(image),
                })
                .collect();
        }
    }
    let text = serde_json::to_string(&record).unwrap_or_default();
    // A build that ended before its plan was known has nothing to tell.
    if !record.steps.is_empty() && text.len() <= RECORD_BYTES_MAX {
        let _ = store.record_memo(MEMO, &text);
    }
    record
}

/// The largest stage that stayed behind.
fn left_behind(image: &BuiltImage) -> Option<(String, u64)> {
    image.left_behind.first().map(|stage| (stage.name.clone(), stage.bytes))
}

/// The last build.
pub(super) fn load(store: &Store) -> Result<Record, Failure> {
    let text = store.memo(MEMO)?;
    let record = text.and_then(|text| serde_json::from_str(&text).ok());
    record.ok_or_else(|| {
        Failure::new(Kind::Failed, "nothing is known of a last build in this store")
            .hint("`jettison build` writes it down")
    })
}
