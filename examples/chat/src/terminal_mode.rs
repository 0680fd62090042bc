//! The terminal while nobody reads it. What is typed during an answer is kept, unseen, for the next prompt, as the keys
//! that it is: the terminal would otherwise show it amid the answer, and drop what a line has behind 4096 bytes.

#[cfg(unix)]
pub(crate) use unix::TerminalMode;
#[cfg(not(unix))]
pub(crate) use windows::TerminalMode;

#[cfg(unix)]
mod unix {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

    /// The terminal's mode, to be set back.
    #[derive(Debug, Clone)]
    pub(crate) struct TerminalMode(Arc<Mutex<Option<Termios>>>);

    impl TerminalMode {
        /// Keeps keys as they are. A terminal that cannot is left as it is.
        pub(crate) fn keep_keys() -> Self {
            let original = tcgetattr(io::stdin()).ok();
            if let Some(mut mode) = original.clone() {
                // Ctrl-C stays a signal.
                mode.local_flags
                    .remove(LocalFlags::ICANON | LocalFlags::ECHO);
                let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &mode);
            }
            Self(Arc::new(Mutex::new(original)))
        }

        /// Makes the terminal what it was.
        pub(crate) fn restore(&self) {
            let mut original = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mode) = original.take() {
                let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &mode);
            }
        }

        /// Discards what was typed and not read.
        pub(crate) fn discard_keys(&self) {
            use nix::sys::termios::{FlushArg, tcflush};
            let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
        }
    }
}

#[cfg(not(unix))]
mod windows {
    /// The console keeps keys by itself.
    #[derive(Debug, Clone)]
    pub(crate) struct TerminalMode;

    impl TerminalMode {
        pub(crate) fn keep_keys() -> Self {
            Self
        }

        pub(crate) fn restore(&self) {}

        pub(crate) fn discard_keys(&self) {}
    }
}

/// Sets the terminal back when the conversation ends, however it does.
pub(crate) struct Restore(pub(crate) TerminalMode);

impl Drop for Restore {
    fn drop(&mut self) {
        self.0.restore();
    }
}
