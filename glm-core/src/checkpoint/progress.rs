//! How far loading is, told to whoever asked.

use std::fmt;

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// What is being done.
    pub stage: LoadStage,
    /// Bytes of weights read so far.
    pub bytes_read: u64,
    /// Bytes of weights in all; 0 while they are not known.
    pub bytes_total: u64,
}

/// What is done to load a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadStage {
    /// Another process is making the prepacked file; this one waits and will use it.
    Waiting,
    /// Weights are read as they are.
    Reading,
    /// Weights are read and quantised.
    Quantizing,
    /// Weights are read, quantised and written to a prepacked file.
    Prepacking,
    /// Weights are read and written to a folder in the official layout.
    Converting,
    /// What was written is read again and compared.
    Verifying,
    /// All is written; the system brings it to the disk.
    Saving,
}

/// Counts, and tells.
pub(super) struct Meter<'a> {
    listener: Option<Box<dyn FnMut(LoadProgress) + 'a>>,
    progress: LoadProgress,
}

impl<'a> Meter<'a> {
    /// Counts for no one.
    pub(super) fn silent() -> Self {
        Self {
            listener: None,
            progress: LoadProgress {
                stage: LoadStage::Reading,
                bytes_read: 0,
                bytes_total: 0,
            },
        }
    }

    pub(super) fn listen(&mut self, listener: impl FnMut(LoadProgress) + 'a) {
        self.listener = Some(Box::new(listener));
    }

    /// Starts to count `bytes_total`.
    pub(super) fn begin(&mut self, stage: LoadStage, bytes_total: u64) {
        self.progress.bytes_read = 0;
        self.progress.bytes_total = bytes_total;
        self.enter(stage);
    }

    pub(super) fn enter(&mut self, stage: LoadStage) {
        self.progress.stage = stage;
        self.tell();
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.progress.bytes_read += bytes;
        self.tell();
    }

    fn tell(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener(self.progress);
        }
    }
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
