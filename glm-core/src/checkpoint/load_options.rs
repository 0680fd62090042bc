//! How a model is loaded from whatever it is stored in.

use std::path::{Path, PathBuf};

use burn::tensor::{AllocationProperty, Device};
use glm_backends::cpu::CpuLevel;

use crate::{
    checkpoint::{
        cache::{CacheEntry, default_cache_dir},
        conversion::Conversion,
        files::{CheckpointFiles, WeightFormat},
        memory,
        network::Parts,
        precision::{Forms, Precision},
        prepacked::{self, PrepackedFile},
        progress::{LoadProgress, LoadStage, Meter},
        source::{Source, describe, is_prepacked, open_checkpoint, open_prepacked},
    },
    config::ModelConfig,
    error::Result,
    model::Model,
};

/// Loads the checkpoint folder, ggml file or prepacked file at `path` on the CPU: [`LoadOptions::load`] with the defaults.
///
/// # Errors
/// As [`LoadOptions::load`].
pub fn load(path: impl AsRef<Path>) -> Result<Model> {
    LoadOptions::default().load(path)
}

/// How to load a checkpoint.
#[derive(Debug)]
pub struct LoadOptions<'a> {
    device: Device,
    format: Option<WeightFormat>,
    precision: Precision,
    head: Option<Precision>,
    cache: Cache,
    copied: bool,
    meter: Meter<'a>,
}

/// Where quantised models are kept.
#[derive(Debug, Clone)]
enum Cache {
    Off,
    Default,
    In(PathBuf),
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            device: Device::flex(),
            format: None,
            precision: Precision::Stored,
            head: None,
            cache: Cache::Off,
            copied: false,
            meter: Meter::silent(),
        }
    }
}

impl<'a> LoadOptions<'a> {
    /// Loads onto this device; see [`crate::DeviceName`].
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Reads this format when the folder holds several. The default prefers safetensors.
    #[must_use]
    pub fn format(mut self, format: WeightFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Quantises the layers' matrices while they are read; the default keeps them as stored. Embedding and head follow
    /// with [`Precision::default_head`] unless [`LoadOptions::head`] says otherwise.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// What the embedding becomes, and the head when it is another matrix.
    #[must_use]
    pub fn head(mut self, precision: Precision) -> Self {
        self.head = Some(precision);
        self
    }

    /// Keeps what is quantised in [`default_cache_dir`], and maps it from there the next time. Changes nothing when
    /// nothing is to be quantised.
    #[must_use]
    pub fn cached(mut self) -> Self {
        self.cache = Cache::Default;
        self
    }

    /// As [`LoadOptions::cached`], in another folder. It is made when missing.
    #[must_use]
    pub fn cached_in(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Cache::In(dir.into());
        self
    }

    /// Reads a prepacked file into memory of this process instead of mapping it: slower to start, as large in memory as
    /// the file, and safe from programs that change the file later; see [`LoadOptions::load`]. Changes nothing for
    /// other files, which are always read.
    #[must_use]
    pub fn copied(mut self) -> Self {
        self.copied = true;
        self
    }

    /// Calls `progress` after every tensor that is read, and when the stage changes. A mapped file is not read.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(LoadProgress) + 'a) -> Self {
        self.meter.listen(progress);
        self
    }

    /// Loads a checkpoint folder in the official layout, a ggml file of chatglm.cpp, or a prepacked file.
    ///
    /// A folder has `config.json` and the weights, as `model.safetensors[.index.json]` or
    /// `pytorch_model.bin[.index.json]`, float, INT8 or INT4. Matrices are kept as stored or quantised as
    /// [`LoadOptions::precision`] says; biases and norms are widened to f32. A head that equals the embedding is kept
    /// once.
    ///
    /// A ggml file is known by its first bytes. Matrices of q4_0 and q8_0 keep their codes, as `int4-g32` and `int8-g32`;
    /// those of q4_1, q5_0 and q5_1 become f32, or are quantised. Any other file is what [`LoadOptions::prepack`] wrote; it
    /// is mapped, and used in place on the CPU.
    ///
    /// # Mapped files
    /// While a model lies in a mapped file (one that is prepacked, or kept by [`LoadOptions::cached`]), the file must
    /// stay as it is: what another program writes into it becomes the weights, and if one makes it shorter, the system
    /// ends this process (`SIGBUS`) when it next reads what is gone. A shared lock is held meanwhile, so that programs
    /// that ask for locks keep away, and everything in this library replaces such a file as a whole, which is safe.
    /// Where others may change the file in place (a folder that is synchronised, a network share),
    /// [`LoadOptions::copied`] reads it into memory instead.
    ///
    /// # Errors
    /// Every way in which the folder or file can be wrong is a variant of [`Error`](crate::Error) that names it, and
    /// the tensor where there is one; [`Error::AlreadyQuantized`](crate::Error::AlreadyQuantized) when it holds codes of
    /// another precision; [`Error::OutOfMemory`](crate::Error::OutOfMemory) when the weights would not fit;
    /// [`Error::StorageFull`](crate::Error::StorageFull) when the cache has no room;
    /// [`Error::CpuLevel`](crate::Error::CpuLevel) when the variable `GLM_CPU_LEVEL` cannot be followed.
    pub fn load(self, path: impl AsRef<Path>) -> Result<Model> {
        CpuLevel::check_variable()?;
        let path = path.as_ref();
        if is_prepacked(path) {
            let file = self.place(open_prepacked(path)?)?;
            file.forms().check(path, self.precision, self.head)?;
            return Ok(to_model(&file, self.device)?.loaded_from(path));
        }
        // Of a folder that is in the cache the weights are not even opened.
        let (config, stored) = describe(path)?;
        let forms = self.forms(path, stored)?;
        match &self.cache {
            Cache::In(dir) if self.quantizes() => {
                let entry = CacheEntry::new(dir, path, self.format, forms)?;
                self.load_cached(&entry, path, forms)
            }
            Cache::Default if self.quantizes() => {
                let entry = CacheEntry::new(&default_cache_dir()?, path, self.format, forms)?;
                self.load_cached(&entry, path, forms)
            }
            _ => {
                let files = open_checkpoint(path, self.format)?;
                let conversion = Conversion::new(&files, &config, stored, forms)?;
                self.build(&config, path, &conversion)
            }
        }
    }

    /// Loads a checkpoint that is part of the program: the bytes of its `config.json` and `model.safetensors`.
    ///
    /// # Errors
    /// As [`LoadOptions::load`]; `name` stands for the folder.
    pub fn load_from_memory(
        self,
        name: &str,
        config: &[u8],
        safetensors: &'static [u8],
    ) -> Result<Model> {
        CpuLevel::check_variable()?;
        let config = ModelConfig::from_json(Path::new(name).join("config.json"), config)?;
        let stored = Forms::of_config(&config);
        let forms = self.forms(Path::new(name), stored)?;
        let files = CheckpointFiles::from_memory(name, safetensors)?;
        let conversion = Conversion::new(&files, &config, stored, forms)?;
        self.build(&config, Path::new(name), &conversion)
    }

    /// Writes the checkpoint at `source`, a folder or a file, as a prepacked file, in the precision that these options
    /// say. No more than two of its tensors are in memory at a time, and `file` appears under its name when it is whole.
    /// [`Converter`](crate::checkpoint::Converter) does the same with more care: it brings the tokenizer along, and verifies.
    ///
    /// # Errors
    /// As [`LoadOptions::load`]; [`Error::Io`](crate::Error::Io),
    /// [`Error::PermissionDenied`](crate::Error::PermissionDenied) and
    /// [`Error::StorageFull`](crate::Error::StorageFull) for `file`; [`Error::NotAFile`](crate::Error::NotAFile) when
    /// a device or something else that is no file is in its place.
    pub fn prepack(mut self, source: impl AsRef<Path>, file: impl AsRef<Path>) -> Result<()> {
        let source = Source::open(source.as_ref(), self.format)?;
        let forms = self.forms(source.path(), source.stored())?;
        write_prepacked(&source, forms, file.as_ref(), &mut self.meter)
    }

    /// Whether anything becomes another form than it is stored in.
    fn quantizes(&self) -> bool {
        [Some(self.precision), self.head]
            .into_iter()
            .flatten()
            .any(|precision| precision != Precision::Stored)
    }

    fn forms(&self, path: &Path, stored: Forms) -> Result<Forms> {
        Forms::of_checkpoint(path, stored, self.precision, self.head, false)
    }

    fn load_cached(mut self, entry: &CacheEntry, path: &Path, forms: Forms) -> Result<Model> {
        let mut meter = std::mem::replace(&mut self.meter, Meter::silent());
        let file = entry.open_or_make(&mut meter, |file, meter| {
            let source = Source::open(path, self.format)?;
            write_prepacked(&source, forms, file, meter)
        })?;
        // What is in the cache came from there.
        Ok(to_model(&self.place(file)?, self.device)?.loaded_from(path))
    }

    /// Where the file is to lie: mapped as it is, or in memory.
    fn place(&self, file: PrepackedFile) -> Result<PrepackedFile> {
        match self.copied {
            true => file.into_memory(),
            false => Ok(file),
        }
    }

    fn build(
        mut self,
        config: &ModelConfig,
        path: &Path,
        conversion: &Conversion<'_>,
    ) -> Result<Model> {
        let tied = config.tie_word_embeddings();
        let required = conversion.model_bytes(tied) + conversion.largest_read();
        memory::check_fits(path, required)?;
        let stage = match self.quantizes() {
            true => LoadStage::Quantizing,
            false => LoadStage::Reading,
        };
        self.meter.begin(stage, conversion.bytes_to_read());
        let mut parts = Parts::new(
            path.to_path_buf(),
            self.device.clone(),
            AllocationProperty::Native,
        );
        conversion.run(|tensor, weight, bytes_read| {
            if let Some(weight) = weight {
                parts.insert(&tensor.name, weight);
            }
            self.meter.add(bytes_read);
            Ok(())
        })?;
        let network = parts.into_network(config)?;
        Ok(Model::new(config.clone(), network, self.device).loaded_from(path))
    }
}

/// The model in a prepacked file; on the CPU its tensors lie in the file.
fn to_model(file: &PrepackedFile, device: Device) -> Result<Model> {
    let path = file.path().to_path_buf();
    let mut parts = Parts::new(path, device.clone(), AllocationProperty::File);
    for name in file.tensor_names() {
        parts.insert(name, file.weight(name)?);
    }
    let network = parts.into_network(file.config())?;
    Ok(Model::new(file.config().clone(), network, device))
}

fn write_prepacked(
    source: &Source,
    forms: Forms,
    path: &Path,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let conversion = source.conversion(forms)?;
    memory::check_fits(source.path(), conversion.bytes_at_once())?;
    prepacked::write(&conversion, source.config(), path, meter)
}
