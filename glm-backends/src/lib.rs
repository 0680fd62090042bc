//! glm-backends
