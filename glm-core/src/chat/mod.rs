//! Questions and answers in text: the official `chat` and `stream_chat`.

mod conversation;
mod process_response;
mod prompt;
mod reply_stream;

pub use conversation::{ChatOptions, Reply, StreamedReply};
pub use process_response::{ResponseRules, process_response};
pub use prompt::{PromptStyle, Turn};
pub use reply_stream::ReplyStream;
