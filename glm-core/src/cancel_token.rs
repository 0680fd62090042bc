//! The switch that ends what a model is doing.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Ends a generation from another thread, or when a condition is met; clones share one switch.
///
/// It is looked at before every token, and while a prompt is read before every layer.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use glm_core::generate::CancelToken;
///
/// let cancel = CancelToken::new();
/// let button = cancel.clone();
/// std::thread::spawn(move || button.cancel()).join().unwrap();
/// assert!(cancel.is_cancelled());
///
/// let deadline = Instant::now() + Duration::from_secs(60);
/// let in_time = CancelToken::when(move || Instant::now() >= deadline);
/// assert!(!in_time.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Switch>);

#[derive(Default)]
struct Switch {
    is_on: AtomicBool,
    condition: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl CancelToken {
    /// A switch that is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A switch that also goes on when `condition` is true: a deadline that has passed, a client that is gone, another
    /// library's token. It is asked each time that the switch is looked at, and must be quick.
    #[must_use]
    pub fn when(condition: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Switch {
            is_on: AtomicBool::new(false),
            condition: Some(Box::new(condition)),
        }))
    }

    /// Switches on, for good.
    pub fn cancel(&self) {
        self.0.is_on.store(true, Ordering::Relaxed);
    }

    /// True once [`CancelToken::cancel`] was called or the condition was met.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        if self.0.is_on.load(Ordering::Relaxed) {
            return true;
        }
        let is_met = self
            .0
            .condition
            .as_ref()
            .is_some_and(|condition| condition());
        if is_met {
            self.cancel();
        }
        is_met
    }

    /// Switches on when the guard is dropped: what a future or a request holds while it waits for an answer, so that the
    /// answer ends with it.
    #[must_use]
    pub fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

/// Uses a [`CancelToken`] when it is dropped.
#[derive(Debug)]
pub struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("is_on", &self.is_on)
            .field("has_condition", &self.condition.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_was_met_stays_met() {
        let client_is_gone = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&client_is_gone);
        let cancel = CancelToken::when(move || gone.load(Ordering::Relaxed));
        assert!(!cancel.is_cancelled());
        client_is_gone.store(true, Ordering::Relaxed);
        assert!(cancel.clone().is_cancelled());
        client_is_gone.store(false, Ordering::Relaxed);
        assert!(cancel.is_cancelled());
    }

    #[test]
    fn a_dropped_guard_switches_on() {
        let cancel = CancelToken::new();
        let guard = cancel.cancel_on_drop();
        assert!(!cancel.is_cancelled());
        drop(guard);
        assert!(cancel.is_cancelled());
    }
}
