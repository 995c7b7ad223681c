//! TCP for ureq that can be interrupted: it connects to all addresses in a race and reads and writes in short slices,
//! asking between them whether to stop.
//!
//! Why not ureq's own: a read there blocks until its time-out, which for a slow registry is a minute, and Ctrl-C must
//! end everything within a second. ureq's transport interface is exempt from its semantic versioning, so this file and
//! `tls.rs` are the ones to look at when ureq is updated.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Timeout;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// How often a waiting read or write asks whether to stop.
const SLICE: Duration = Duration::from_millis(200);
/// How often a waiting connect asks whether to stop.
const CONNECT_SLICE: Duration = Duration::from_millis(100);
/// Head start of each address over the next one (RFC 8305 recommends 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);
/// Used where the caller sets no limit, which this crate never does.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(60);

/// Whether to stop.
pub(crate) type Cancel = Arc<dyn Fn() -> bool + Send + Sync>;

/// Opens sockets.
pub(crate) struct TcpConnector {
    cancel: Cancel,
}

impl TcpConnector {
    pub(crate) fn new(cancel: Cancel) -> Self {
        Self { cancel }
    }
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let limit = details.timeout.not_zero().map_or(CONNECT_WAIT_MAX, |after| *after);
        let addresses: Vec<SocketAddr> = details.addrs.iter().copied().collect();
        let stream = race(&addresses, limit, &self.cancel)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Socket { stream, buffers, cancel: Arc::clone(&self.cancel) })))
    }
}

impl std::fmt::Debug for TcpConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpConnector").finish_non_exhaustive()
    }
}

/// The first connection that comes about.
fn race(addresses: &[SocketAddr], limit: Duration, cancel: &Cancel) -> Result<TcpStream, ureq::Error> {
    if let [address] = addresses
        && address.ip().is_loopback()
    {
        // Answers at once, one way or the other: no thread needed.
        return Ok(TcpStream::connect_timeout(address, limit)?);
    }
    let deadline = Instant::now() + limit;
    let (sender, receiver) = mpsc::channel();
    let mut waiting = addresses.iter().copied();
    let mut running = 0_usize;
    let mut next_start = Instant::now();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if cancel() {
            return Err(canceled().into());
        }
        if Instant::now() >= next_start
            && let Some(address) = waiting.next()
        {
            let sender = sender.clone();
            let left = deadline.saturating_duration_since(Instant::now()).max(CONNECT_SLICE);
            // The thread outlives a lost race by `left` at most; its socket closes when nobody takes it.
            thread::spawn(move || sender.send(TcpStream::connect_timeout(&address, left)));
            running += 1;
            next_start = Instant::now() + HEAD_START;
        } else if running == 0 {
            return Err(last_error.into());
        }
        match receiver.recv_timeout(CONNECT_SLICE) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                running -= 1;
                last_error = error;
                next_start = Instant::now();
            }
            Err(_) if Instant::now() >= deadline => return Err(ureq::Error::Timeout(Timeout::Connect)),
            Err(_) => {}
        }
    }
}

fn canceled() -> io::Error {
    // Not `Interrupted`: readers above would try again for ever.
    io::Error::other("canceled")
}

/// One connection.
pub(crate) struct Socket {
    stream: TcpStream,
    buffers: LazyBuffers,
    cancel: Cancel,
}

impl Socket {
    /// Runs `io` until it succeeds, fails for good, runs out of time, or is canceled.
    fn sliced<T>(
        cancel: &Cancel,
        timeout: NextTimeout,
        mut io: impl FnMut() -> io::Result<T>,
    ) -> Result<T, ureq::Error> {
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        let deadline = timeout.not_zero().map(|after| Instant::now() + *after);
        loop {
            if cancel() {
                return Err(canceled().into());
            }
            match io() {
                Ok(value) => return Ok(value),
                Err(e) if is_slice_end(&e) => {
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Err(ureq::Error::Timeout(timeout.reason));
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn is_slice_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let mut left = &self.buffers.output()[..amount];
        while !left.is_empty() {
            let n = Self::sliced(&self.cancel, timeout, || (&self.stream).write(left))?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            left = &left[n..];
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        let n = Self::sliced(&self.cancel, timeout.for_read(), || (&self.stream).read(input))?;
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    fn is_open(&mut self) -> bool {
        // Idle connections have nothing to say: bytes or an end both mean that this one is of no use.
        let mut byte = [0];
        let probe = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut byte));
        let idle = matches!(&probe, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        idle && self.stream.set_nonblocking(false).is_ok()
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("peer", &self.stream.peer_addr().ok()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_dead_address_does_not_hold_up_the_living() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let never: Cancel = Arc::new(|| false);
        let addresses = [closed, listener.local_addr().unwrap()];
        let stream = race(&addresses, Duration::from_secs(5), &never).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
        assert!(race(&[closed, closed], Duration::from_secs(5), &never).is_err());
    }

    #[test]
    fn connecting_can_be_canceled() {
        // 192.0.2.0/24 is reserved for documentation: packets to it vanish, or are refused at once.
        let addresses = ["192.0.2.1:9".parse().unwrap(), "192.0.2.2:9".parse().unwrap()];
        let start = Instant::now();
        let cancel: Cancel = Arc::new(move || start.elapsed() > Duration::from_millis(200));
        assert!(race(&addresses, Duration::from_secs(30), &cancel).is_err());
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
