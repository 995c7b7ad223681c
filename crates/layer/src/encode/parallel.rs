//! A large layer on several threads: one reads, one hashes the tar, some compress, one writes.

use std::io::Write;
use std::sync::Arc;
use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, bounded};
use jettison_oci::Hasher;

use super::codec::{Codec, Level, Packed};
use super::writer::Writer;
use super::{ChunkMemory, Contents, EncodeOptions, Encoded, chunks};
use crate::{Entry, Error};

/// Chunks on their way for each thread: while one thread waits for the disk, or a chunk takes its time, the others have enough
/// to do. With four of them a twentieth of the processor time was lost.
const IN_FLIGHT: usize = 16;
/// All of them at most: 64 MB of the tar, however many cores there are.
const IN_FLIGHT_MAX: usize = 128;

/// A chunk to compress, and where the answer goes.
type Job = (Arc<Vec<u8>>, Sender<Result<Packed, Error>>);

pub(super) fn encode(
    entries: &[Entry],
    contents: &dyn Contents,
    options: &EncodeOptions,
    level: Level,
    memory: &dyn ChunkMemory,
    out: &mut (dyn Write + Send),
) -> Result<Encoded, Error> {
    let in_flight = (options.threads * IN_FLIGHT).min(IN_FLIGHT_MAX);
    let (jobs, job_queue) = bounded::<Job>(in_flight);
    let (order, ordered) = bounded::<Receiver<Result<Packed, Error>>>(in_flight);
    let (to_hash, hash_queue) = bounded::<Arc<Vec<u8>>>(in_flight);
    std::thread::scope(|scope| {
        let hashing = Builder::new()
            .spawn_scoped(scope, move || {
                let (mut hasher, mut plain) = (Hasher::sha256(), 0);
                for chunk in hash_queue {
                    hasher.update(&chunk);
                    plain += chunk.len() as u64;
                }
                (hasher.finish(), plain)
            })
            .map_err(Error::Write)?;
        for _ in 0..options.threads {
            let job_queue = job_queue.clone();
            Builder::new()
                .spawn_scoped(scope, move || {
                    let mut codec = Codec::new(options.compression, level, memory);
                    for (chunk, reply) in job_queue {
                        // Nobody waits for the answer after an error; then it may be dropped.
                        let _ = reply.send(codec.pack(&chunk));
                    }
                })
                .map_err(Error::Write)?;
        }
        drop(job_queue);
        let writing = Builder::new()
            .spawn_scoped(scope, move || {
                let mut writer = Writer::new(out);
                for packed in ordered {
                    let packed = packed
                        .recv()
                        .unwrap_or_else(|_| Err(Error::Damaged("a worker ended early".to_owned())))?;
                    writer.take(packed)?;
                }
                Ok(writer)
            })
            .map_err(Error::Write)?;
        let produced = chunks::produce(entries, contents, options, &mut |chunk| {
            let chunk = Arc::new(chunk);
            let (reply, answer) = bounded(1);
            let gone = |_| Error::Damaged("the writing thread ended early".to_owned());
            to_hash
                .send(Arc::clone(&chunk))
                .map_err(|_| Error::Damaged("the hashing thread ended early".to_owned()))?;
            order.send(answer).map_err(gone)?;
            jobs.send((chunk, reply)).map_err(|_| Error::Damaged("the workers ended early".to_owned()))
        });
        drop((jobs, order, to_hash));
        let (diff_id, plain) = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let written: Result<Writer<'_>, Error> =
            writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // An error of the disk makes the producer fail as well; the disk's is the one to tell.
        let writer = written?;
        produced?;
        Ok(writer.finish(diff_id, plain))
    })
}
