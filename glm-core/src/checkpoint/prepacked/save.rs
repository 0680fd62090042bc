//! Saves a model that is in memory as a prepacked file.

use std::path::Path;

use burn::tensor::DType;

use super::{header::Header, place::form_of, writer::Writer};
use crate::{
    checkpoint::{
        files::WeightDType,
        names::Names,
        network::{Part, parts_of},
        precision::{Form, Forms},
        progress::Meter,
    },
    error::Result,
    model::Model,
};

/// Saves a model as a prepacked file, which [`load`](crate::load) maps and uses in place. A model that was quantised in
/// memory is kept like this; a checkpoint becomes one in less memory by
/// [`LoadOptions::prepack`](crate::LoadOptions::prepack).
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), [`Error::PermissionDenied`](crate::Error::PermissionDenied), [`Error::StorageFull`](crate::Error::StorageFull) and [`Error::FileTooLarge`](crate::Error::FileTooLarge) for the file,
/// [`Error::NotAFile`](crate::Error::NotAFile) when a device or something else that is no file is in its place; [`Error::UnsupportedModel`](crate::Error::UnsupportedModel) when
/// the layers are of different precisions; [`Error::BigEndian`](crate::Error::BigEndian).
pub fn save_prepacked(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let config = model.config();
    let names = Names::of(config);
    let parts = parts_of(model.network());
    let part = |name: &str| {
        parts
            .iter()
            .find(|(part, _)| part == name)
            .map(|(_, part)| part)
    };
    let form = |name: &str| part(name).map_or(Form::Float, form_of_part);
    let forms = Forms {
        layers: form(&format!("{}.weight", names.layer(0).dense)),
        head: form(names.word_embeddings),
    };
    let header = Header::plan(path, config, forms, |name| part(name).map(stored_type))?;
    let mut writer = Writer::create(path, header, |file| file)?;
    for (name, part) in &parts {
        writer.put(name, &part.weight())?;
    }
    writer.finish(&mut Meter::silent())
}

fn form_of_part(part: &Part) -> Form {
    match part {
        Part::Packed(weight) => form_of(weight.layout()),
        Part::Vector(_) | Part::Matrix(_) => Form::Float,
    }
}

fn stored_type(part: &Part) -> WeightDType {
    match part {
        Part::Matrix(matrix) if matrix.dtype() == DType::F16 => WeightDType::F16,
        Part::Matrix(matrix) if matrix.dtype() == DType::BF16 => WeightDType::BF16,
        // Of codes it does not matter.
        _ => WeightDType::F32,
    }
}
