//! glm-core
