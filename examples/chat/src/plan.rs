//! `--plan`: what a model is and needs, in place of a chat.

use std::{io::Write, path::Path};

use command_line::{exit::Exit, report::page, texts::Texts};

use crate::error::{Error, Result};

/// Prints what is at `path`. [`Exit::Done`] when it can be loaded.
pub(crate) fn print(path: &Path, json: bool, texts: &Texts, out: &mut impl Write) -> Result<Exit> {
    let inspection = glm_core::inspect(path);
    match json {
        true => {
            serde_json::to_writer_pretty(&mut *out, &inspection)
                .map_err(|error| Error::Output(error.into()))?;
            writeln!(out).map_err(Error::Output)?;
        }
        false => out
            .write_all(page(&inspection, texts).as_bytes())
            .map_err(Error::Output)?,
    }
    Ok(match inspection.is_loadable() {
        true => Exit::Done,
        false => Exit::Failed,
    })
}
