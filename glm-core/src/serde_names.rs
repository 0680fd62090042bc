//! How precisions are called in JSON and the like: as on the command line.

use glm_backends::{Activations, CachePrecision};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::checkpoint::Precision;

/// Names of [`Activations`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Activations", rename_all = "lowercase")]
pub(crate) enum ActivationsName {
    Float32,
    Int8,
}

/// Names of [`CachePrecision`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "CachePrecision", rename_all = "lowercase")]
pub(crate) enum CachePrecisionName {
    F32,
    F16,
    Int16,
    Int8,
}

/// Its name, as `int4-g128`.
impl Serialize for Precision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Precision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}
