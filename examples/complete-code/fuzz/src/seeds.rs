//! Writes the inputs that fuzzing begins with: `complete-code-seeds CORPUS`.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = PathBuf::from(
        env::args_os()
            .nth(1)
            .ok_or("usage: complete-code-seeds CORPUS")?,
    )
    .join("stdio");
    fs::create_dir_all(&corpus)?;
    for (name, line) in [
        (
            "complete",
            r#"{"id":1,"prefix":"def f(","suffix":"\n","path":"a.py"}"#,
        ),
        (
            "options",
            r#"{"id":"a","prefix":"","language":"rust","until":"line","max_new_tokens":3,"stop":["x"],"temperature":1,"top_p":0.5,"top_k":7,"seed":9}"#,
        ),
        ("cancel", r#"{"cancel":1}"#),
        ("refused", r#"{"id":[1],"prefix":""}"#),
    ] {
        fs::write(corpus.join(name), line)?;
    }
    Ok(())
}
