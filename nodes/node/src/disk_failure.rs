//! How a node ends when its disk has failed: at once, and so that others can tell.

use cluster::StoreError;

/// The disk failed: what was not acknowledged must not be, so the process ends here and now.
pub(crate) fn stop_at_once(error: &StoreError) {
    tracing::error!(%error, "the disk failed; this node stops, the cluster goes on without it");
    std::process::exit(DISK_FAILED);
}

/// How a process ends when its disk has failed: input/output error.
pub const DISK_FAILED: i32 = 74;

/// Whether a node did not start because of its disk. A folder that is another node's is no failure of it.
pub fn is_disk_failure(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<StoreError>());
    causes.any(|cause| !matches!(cause, StoreError::Foreign { .. }))
}
