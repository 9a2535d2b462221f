//! Settings in layers: defaults, below a TOML file, below the environment, below the command line.
//!
//! The layers are merged by the `config` crate. What it would pass over in silence is refused here: an unknown name, a
//! fraction where a whole number belongs, a value that it would convert. Every complaint is one sentence that names the
//! field, where its value came from, and what to write instead.

mod document;
mod error;
mod layers;
mod scalar;
mod values;

pub use document::Document;
pub use error::ConfigError;
pub use layers::{Layers, Loaded};
pub use scalar::{Scalar, deserialize_scalar};
pub use values::{Count, CountLimit, List, Period, PeriodLimit, Size, SizeLimit};

/// The settings as a TOML document that gives the same settings when it is read again, apart from what their own
/// serialisation hides.
///
/// # Errors
/// When a value has no TOML form: a mistake in the settings' type, not in their content.
pub fn to_toml<T: serde::Serialize>(settings: &T) -> Result<String, toml::ser::Error> {
    toml::to_string(settings)
}

#[cfg(test)]
mod tests;
