//! The plug test.
