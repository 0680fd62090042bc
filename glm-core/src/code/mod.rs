//! Code completed at a cursor, as CodeGeeX2-6B does it: the language tag, the code before the cursor, and where a
//! completion ends.

mod code_end;
mod completion;
mod language;
mod prompt;

pub use code_end::{CodeEnd, Until};
pub use completion::{CodeCompletion, CodeOptions, Cursor, StreamedCode};
pub use language::Language;
pub use prompt::code_prompt;
