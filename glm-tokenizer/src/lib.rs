//! glm-tokenizer
