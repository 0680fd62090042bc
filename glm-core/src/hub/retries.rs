//! How often a failed request is made again.

use std::{thread, time::Duration};

use super::error::HubError;

/// Longest wait between two requests.
const MAX_WAIT: Duration = Duration::from_secs(8);

/// Failures in a row: the first is followed by another request at once, the next ones by waits of 1, 2, 4 and 8 seconds.
#[derive(Debug)]
pub(super) struct Retries {
    limit: u32,
    failures: u32,
}

impl Retries {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, failures: 0 }
    }

    /// Something arrived: failures are counted anew.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Returns when it is time for the next request.
    ///
    /// # Errors
    /// The error itself, when no other request would help or there were enough.
    pub(super) fn wait_after(&mut self, error: HubError) -> Result<(), HubError> {
        if !error.is_transient() || self.failures >= self.limit {
            return Err(error);
        }
        if let Some(doublings) = self.failures.checked_sub(1) {
            let wait = Duration::from_secs(1) * 2u32.saturating_pow(doublings);
            thread::sleep(wait.min(MAX_WAIT));
        }
        self.failures += 1;
        Ok(())
    }

    /// Makes a request until it succeeds.
    ///
    /// # Errors
    /// As [`Retries::wait_after`].
    pub(super) fn run<T>(
        mut self,
        mut request: impl FnMut() -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        loop {
            match request() {
                Ok(reply) => return Ok(reply),
                Err(error) => self.wait_after(error)?,
            }
        }
    }
}
