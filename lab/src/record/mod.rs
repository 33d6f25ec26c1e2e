//! What runs leave on disk: the form of the documents, and nothing of where they lie (see [`crate::matrix::Folder`]). Pure.

mod course;
mod document;
mod environment;

pub use course::{Course, Harm, Phase, Second};
pub use document::{Document, Measured, Outcome};
#[cfg(test)]
pub(crate) use environment::sample_environment;
pub use environment::{ClientFlag, Environment, Flags, Machine, ScenarioFlag, Versions};

/// The version of the form. Raised when a reader of the form before would misunderstand it.
pub const FORMAT: u32 = 1;
