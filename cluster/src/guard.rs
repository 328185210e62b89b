//! A panic inside a store is a failure of the disk, and becomes the same clear end as every other one. Nothing is tried
//! again here.
//!
//! raft-engine answers a failed fsync with a panic, and sled some errors of its file, on threads of its own too.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use crate::store::StoreError;

/// Whose panics are the disk's, as parts of the path of their source.
const STORES: [&str; 2] = ["raft-engine-", "sled-"];

/// Whether a panic means that the disk failed. For the process' panic hook, which comes before anything is caught, and is
/// the last word where panics abort.
pub fn is_disk_panic(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|location| STORES.iter().any(|store| location.file().contains(store)))
}

/// Does something with a store. After a panic the store's state is unknown, and nobody may use it.
pub(crate) fn stored<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        Err(StoreError::Panicked(text.to_owned()))
    })
}
