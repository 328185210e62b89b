//! placeholder
pub mod documents;
