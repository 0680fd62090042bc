//! Questions and answers in text, the official `chat` and `stream_chat`, and blanks in a text.

mod conversation;
mod infilling;
mod process_response;
mod prompt;
mod reply;
mod reply_stream;
mod several_replies;

pub use conversation::{Conversation, StreamedTurn};
pub use infilling::{Infilled, Piece, StreamedInfilling};
pub use process_response::{ResponseRules, process_response};
pub use prompt::{PromptStyle, Turn};
pub use reply::{ChatOptions, Reply, StreamedReply};
pub use reply_stream::ReplyStream;
