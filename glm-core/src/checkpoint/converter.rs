//! From one form of a checkpoint to another, tensor by tensor, whatever its size.

use std::{
    fs,
    path::{Path, PathBuf},
};

use glm_quant::{Bits, GroupSize};
use glm_tokenizer::regular_file::FileKind;

use crate::{
    checkpoint::{
        atomic_file::check_replaceable,
        companions::{Companions, refuse_overwrite},
        conversion::Conversion,
        files::WeightFormat,
        memory, official,
        precision::{Form, Forms, Precision},
        prepacked,
        progress::{LoadProgress, Meter},
        source::Source,
    },
    config::ModelConfig,
    error::{Error, Result},
};

/// What a checkpoint becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A folder in the official layout, with every tensor in f16. Codes are dequantised: scale times code in f32, rounded
    /// to f16.
    Safetensors,
    /// A folder as the official `chatglm-6b-int8` and `chatglm-6b-int4`: the layers in codes with one scale a row. The
    /// embedding is f16, unless it is stored in such codes too (`chatglm-6b-int4-qe`).
    Official(Bits),
    /// A prepacked file.
    Prepacked {
        /// Precision of the layers' matrices.
        layers: Precision,
        /// Precision of embedding and head; `None` for [`Precision::default_head`], or the checkpoint's own codes.
        head: Option<Precision>,
    },
}

impl Target {
    fn forms(self, source: &Source, requantize: bool) -> Result<Forms> {
        let (path, stored) = (source.path(), source.stored());
        match self {
            Self::Safetensors => Ok(Forms::FLOAT),
            Self::Official(bits) => {
                let group = Some(GroupSize::Row);
                let layers = Precision::Quantized { bits, group };
                let head = Some(Precision::Stored);
                let forms = Forms::of_checkpoint(path, stored, layers, head, requantize)?;
                // ChatGLM2 has no official layout for an embedding of codes.
                let is_chatglm = matches!(source.config(), ModelConfig::ChatGlm(_));
                let head = match is_chatglm && forms.head == forms.layers {
                    true => forms.head,
                    false => Form::Float,
                };
                Ok(Forms { head, ..forms })
            }
            Self::Prepacked { layers, head } => {
                Forms::of_checkpoint(path, stored, layers, head, requantize)
            }
        }
    }
}

/// Writes a checkpoint in another form. Its source is whatever [`LoadOptions::load`](super::LoadOptions::load) takes: a
/// folder, a ggml file, or a prepacked file. No more than two of its tensors are in memory at a time, and each file
/// appears under its name when it is whole.
///
/// ```no_run
/// use glm_core::checkpoint::{Bits, Converter, Target};
///
/// Converter::default().convert("chatglm-ggml.bin", Target::Safetensors, "chatglm-6b")?;
/// Converter::default().convert("chatglm-6b", Target::Official(Bits::Four), "chatglm-6b-int4")?;
/// # Ok::<(), glm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Converter<'a> {
    format: Option<WeightFormat>,
    requantize: bool,
    overwrite: bool,
    verify: bool,
    meter: Meter<'a>,
}

impl Default for Converter<'_> {
    fn default() -> Self {
        Self {
            format: None,
            requantize: false,
            overwrite: false,
            verify: true,
            meter: Meter::silent(),
        }
    }
}

impl<'a> Converter<'a> {
    /// Reads this format when a folder holds several. The default prefers safetensors.
    #[must_use]
    pub fn format(mut self, format: WeightFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Whether codes may become other codes. Each time they are rounded anew, so that the model becomes worse than one
    /// that is quantised once. Off by default: [`Error::AlreadyQuantized`].
    #[must_use]
    pub fn requantize(mut self, requantize: bool) -> Self {
        self.requantize = requantize;
        self
    }

    /// Whether files at the target may be overwritten; those of the source never are. Off by default.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Whether what was written is read again and held against a second conversion. On by default; it takes as long as
    /// the first.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Calls `progress` after every tensor, and when the stage changes.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(LoadProgress) + 'a) -> Self {
        self.meter.listen(progress);
        self
    }

    /// Converts `source` and gives the files that were written. `output` is the folder of the result, made when missing,
    /// or the prepacked file.
    ///
    /// The tokenizer and the other keys of `config.json` go along. Beside a prepacked file the tokenizer is put where
    /// there is none.
    ///
    /// # Errors
    /// As [`LoadOptions::load`](super::LoadOptions::load) for the source; [`Error::AlreadyQuantized`];
    /// [`Error::Exists`], [`Error::NotAFile`] and [`Error::NotAFolder`] for what is in the way of the result, and
    /// [`Error::Io`], [`Error::PermissionDenied`], [`Error::StorageFull`] and [`Error::FileTooLarge`];
    /// [`Error::OfficialLayout`] for weights that f16 cannot hold; [`Error::Verification`].
    pub fn convert(
        mut self,
        source: impl AsRef<Path>,
        target: Target,
        output: impl AsRef<Path>,
    ) -> Result<Vec<PathBuf>> {
        let output = output.as_ref();
        refuse_overwrite(source.as_ref(), output, self.overwrite)?;
        if matches!(target, Target::Prepacked { .. }) {
            check_replaceable(output)?;
        }
        let source = Source::open(source.as_ref(), self.format)?;
        let forms = target.forms(&source, self.requantize)?;
        let conversion = source.conversion(forms)?;
        memory::check_fits(source.path(), conversion.bytes_at_once())?;
        let companions = Companions::of(&source)?;
        match target {
            Target::Prepacked { .. } => {
                companions.check_tokenizer(output)?;
                let config = prepacked_config(source.config(), source.stored(), forms);
                self.write_prepacked(&conversion, &config, output)?;
                let tokenizer = companions.write_tokenizer(output)?;
                Ok([output.to_path_buf()]
                    .into_iter()
                    .chain(tokenizer)
                    .collect())
            }
            Target::Safetensors | Target::Official(_) => {
                create_folder(output)?;
                check_replaceable(&output.join(official::WEIGHTS))?;
                companions.check_folder(output)?;
                let config = official::official_config(source.config(), forms);
                let conversion = conversion.with_head_of(&config);
                self.write_folder(&conversion, &config, output)?;
                let mut files = vec![output.join(official::WEIGHTS)];
                files.extend(companions.write(output, &config)?);
                Ok(files)
            }
        }
    }

    fn write_prepacked(
        &mut self,
        conversion: &Conversion<'_>,
        config: &ModelConfig,
        file: &Path,
    ) -> Result<()> {
        prepacked::write(conversion, config, file, &mut self.meter)?;
        match self.verify {
            true => prepacked::verify(conversion, file, &mut self.meter),
            false => Ok(()),
        }
    }

    fn write_folder(
        &mut self,
        conversion: &Conversion<'_>,
        config: &ModelConfig,
        dir: &Path,
    ) -> Result<()> {
        official::write(conversion, config, dir, &mut self.meter)?;
        match self.verify {
            true => official::verify(conversion, config, dir, &mut self.meter),
            false => Ok(()),
        }
    }
}

/// Makes the folder `dir` unless it is there.
///
/// # Errors
/// [`Error::NotAFolder`], [`Error::Io`], [`Error::PermissionDenied`].
fn create_folder(dir: &Path) -> Result<()> {
    let failed = |error| Error::io(dir, error);
    match FileKind::at(dir).map_err(failed)? {
        None => fs::create_dir_all(dir).map_err(failed),
        Some(FileKind::Folder) => Ok(()),
        Some(found) => Err(Error::NotAFolder {
            path: dir.to_path_buf(),
            found,
        }),
    }
}

/// The configuration of a prepacked file: it describes the codes of the checkpoint only as long as they are its own.
fn prepacked_config(config: &ModelConfig, stored: Forms, forms: Forms) -> ModelConfig {
    let bit = config
        .quantization_bit()
        .filter(|_| forms.layers == stored.layers);
    let embeddings = config.quantization_embeddings() && forms.head == stored.head;
    config.clone().with_quantization(bit, embeddings)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::checkpoint::{CheckpointFiles, weight::Weight};
    use crate::error::Error;

    const TENSOR: &str = "transformer.layers.2.mlp.dense_4h_to_h.weight";

    fn golden(case: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(case)
    }

    /// Flips a bit of one byte in the file; gives what `verify` says.
    fn tampered(
        file: &Path,
        range: Range<usize>,
        verify: impl Fn() -> Result<()>,
    ) -> Vec<Result<()>> {
        let whole = fs::read(file).unwrap();
        verify().unwrap();
        let places = [range.start, range.end - 1];
        let results = places.map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(file, bytes).unwrap();
            verify()
        });
        fs::write(file, whole).unwrap();
        results.into()
    }

    /// Where the bytes of a tensor lie in a file that holds them once.
    fn find(file: &Path, bytes: &[u8]) -> Range<usize> {
        let whole = fs::read(file).unwrap();
        let mut windows = whole.windows(bytes.len());
        let start = windows.position(|window| window == bytes).unwrap();
        start..start + bytes.len()
    }

    fn check(results: Vec<Result<()>>, file: &Path) {
        for result in results {
            let error = result.unwrap_err();
            assert!(
                matches!(&error, Error::Verification { path, tensor } if path == file && tensor == TENSOR),
                "{error}"
            );
        }
    }

    #[test]
    fn a_changed_bit_is_found_and_named() {
        for case in [
            "chatglm-6b-tiny",
            "chatglm-6b-tiny-int4",
            "ggml/chatglm-6b-tiny.q8_0.bin",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let source = Source::open(&golden(case), None).unwrap();

            let forms = Target::Safetensors.forms(&source, false).unwrap();
            let conversion = source.conversion(forms).unwrap();
            let config = official::official_config(source.config(), forms);
            official::write(&conversion, &config, folder.path(), &mut Meter::silent()).unwrap();
            let file = folder.path().join(official::WEIGHTS);
            let files = CheckpointFiles::open(folder.path()).unwrap();
            let place = find(&file, &files.read(TENSOR).unwrap());
            drop(files);
            let verify =
                || official::verify(&conversion, &config, folder.path(), &mut Meter::silent());
            check(tampered(&file, place, verify), &file);

            let forms = source.stored();
            let conversion = source.conversion(forms).unwrap();
            let file = folder.path().join("model.glm");
            prepacked::write(&conversion, source.config(), &file, &mut Meter::silent()).unwrap();
            let Source::Prepacked(packed) = Source::open(&file, None).unwrap() else {
                panic!("no prepacked file")
            };
            let place = match packed.weight(TENSOR).unwrap() {
                Weight::Float { bytes, .. } => find(&file, &bytes),
                Weight::Packed { scales, .. } => find(&file, &scales),
            };
            drop(packed);
            let verify = || prepacked::verify(&conversion, &file, &mut Meter::silent());
            check(tampered(&file, place, verify), &file);
        }
    }

    #[test]
    fn a_head_that_should_not_be_there_is_found() {
        // The folder of a model with a head of its own, held against one whose head is the embedding.
        let folder = tempfile::tempdir().unwrap();
        let tied = Source::open(&golden("chatglm-6b-tiny"), None).unwrap();
        let conversion = tied.conversion(Forms::FLOAT).unwrap();
        let config = official::official_config(tied.config(), Forms::FLOAT);
        fs::copy(
            golden("chatglm-6b-tiny").join(official::WEIGHTS),
            folder.path().join(official::WEIGHTS),
        )
        .unwrap();
        let error = official::verify(&conversion, &config, folder.path(), &mut Meter::silent());
        assert!(matches!(
            error,
            Err(Error::Verification { tensor, .. }) if tensor == "lm_head.weight"
        ));
    }
}
