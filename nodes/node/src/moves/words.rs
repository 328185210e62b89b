//! What a shard is asked and answers about a tenant that moves, beside its log entries: pure, so the simulator says the
//! same. No way to get there is known here.

use proto::v1::{Batch, TenancyReply, TenantPiece, TenantStanding, batch, tenancy_request::Change};
use sha2::{Digest as _, Sha256};

use crate::tenancy::Standing;

/// The log entry of a change.
#[must_use]
pub fn entry(tenant: u32, change: Change) -> Batch {
    let tenancy = Some(match change {
        Change::Install(install) => batch::Tenancy::Install(install),
        Change::Seal(seal) => batch::Tenancy::Seal(seal),
        Change::Drop(drop) => batch::Tenancy::Drop(drop),
    });
    // A shard's own tenant is named too: this is no batch of an earlier release.
    Batch { tenant, tenancy, ..Batch::default() }
}

/// How a tenant stands, as the answer to who asked, with the last of its moves that the shard knows.
#[must_use]
pub fn reply((standing, moved): (Standing, u64)) -> TenancyReply {
    let arrived = if let Standing::Arriving(bytes) | Standing::Arrived(bytes) = standing { bytes } else { 0 };
    let standing = match standing {
        Standing::Unknown => TenantStanding::Unspecified,
        Standing::Arriving(_) => TenantStanding::Arriving,
        Standing::Arrived(_) => TenantStanding::Arrived,
        Standing::Lives => TenantStanding::Lives,
        Standing::Sealed => TenantStanding::Sealed,
        Standing::Gone => TenantStanding::Gone,
    };
    TenancyReply { standing: standing.into(), r#move: moved, arrived }
}

/// A state in pieces of so many bytes, from an offset on; the first one says how many calls live in it.
pub fn pieces(bytes: Vec<u8>, calls: u64, offset: u64, piece: usize) -> impl Iterator<Item = TenantPiece> + Send {
    let bytes_total = bytes.len() as u64;
    let crc = crc32fast::hash(&bytes);
    let sha256 = Sha256::digest(&bytes).to_vec();
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    (from..bytes.len()).step_by(piece).map(move |at| {
        let first = at == from;
        TenantPiece {
            bytes_total,
            offset: at as u64,
            data: bytes[at..bytes.len().min(at + piece)].to_vec(),
            crc,
            sha256: if first { sha256.clone() } else { Vec::new() },
            calls: if first { calls } else { 0 },
        }
    })
}
