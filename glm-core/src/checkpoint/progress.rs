//! How far loading is, told to whoever asked.

use std::fmt;

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadProgress {
    /// What is being done.
    pub stage: LoadStage,
    /// Bytes of weights read so far; of files downloaded, those that were there before included.
    pub bytes_read: u64,
    /// Bytes of weights, or of files to download, in all; 0 while they are not known.
    pub bytes_total: u64,
}

/// What is done to load a model, or to download it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadStage {
    /// Another process is making the prepacked file or downloading the same one; this one waits and will use it.
    Waiting,
    /// Files come from a hub.
    Downloading,
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
pub(crate) struct Meter<'a> {
    listener: Option<Box<dyn FnMut(LoadProgress) + 'a>>,
    progress: LoadProgress,
}

impl<'a> Meter<'a> {
    /// Counts for no one.
    pub(crate) fn silent() -> Self {
        Self {
            listener: None,
            progress: LoadProgress {
                stage: LoadStage::Reading,
                bytes_read: 0,
                bytes_total: 0,
            },
        }
    }

    pub(crate) fn listen(&mut self, listener: impl FnMut(LoadProgress) + 'a) {
        self.listener = Some(Box::new(listener));
    }

    /// Starts to count `bytes_total`.
    pub(crate) fn begin(&mut self, stage: LoadStage, bytes_total: u64) {
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

    /// Tells a state that was counted elsewhere: what is downloaded may begin in the middle, or again.
    #[cfg(feature = "hub")]
    pub(crate) fn set(&mut self, progress: LoadProgress) {
        self.progress = progress;
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
