//! Ctrl-C while an answer is written. At the prompt the line editor reads the key itself.

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use glm_core::generate::CancelToken;

use crate::error::Result;

/// Exit code of a program that Ctrl-C ended, as shells count it.
const INTERRUPTED: i32 = 130;

/// Turns Ctrl-C into the end of the current answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<Mutex<Option<CancelToken>>>);

impl Interrupt {
    /// Watches for Ctrl-C from now on. One that meets no answer, or one that was stopped already and has not ended
    /// (a token of a large model takes its time), ends the program, after `before_end`.
    pub(crate) fn watch(before_end: impl Fn() + Send + 'static) -> Result<Self> {
        let interrupt = Self::default();
        let watched = interrupt.clone();
        ctrlc::set_handler(move || {
            if !watched.cancel() {
                before_end();
                process::exit(INTERRUPTED);
            }
        })?;
        Ok(interrupt)
    }

    /// A token that the next Ctrl-C cancels.
    pub(crate) fn begin_answer(&self) -> CancelToken {
        let cancel = CancelToken::new();
        *self.current() = Some(cancel.clone());
        cancel
    }

    /// The answer is complete.
    pub(crate) fn end_answer(&self) {
        *self.current() = None;
    }

    /// Cancels the current answer; false when there is none left to cancel.
    fn cancel(&self) -> bool {
        match &*self.current() {
            Some(answer) if !answer.is_cancelled() => {
                answer.cancel();
                true
            }
            _ => false,
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<CancelToken>> {
        // A token is valid whatever happened to the thread that set it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cancelled_once() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.cancel(), "no answer yet");
        let answer = interrupt.begin_answer();
        assert!(interrupt.cancel());
        assert!(answer.is_cancelled());
        assert!(!interrupt.cancel(), "the second ends the program");
        assert!(!interrupt.begin_answer().is_cancelled());
        interrupt.end_answer();
        assert!(!interrupt.cancel(), "the answer is over");
    }
}
