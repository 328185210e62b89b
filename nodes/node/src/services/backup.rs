//! Service Backup: the documents and tenants of the whole cluster as one stream, and back into a cluster that has none. Served
//! where the directory is led. Each tenant is saved as it is at one moment of its own, and goes on meanwhile.

use std::{pin::Pin, time::Duration};

use futures::Stream;
use proto::v1::{
    BackupEnd, BackupHeader, BackupPart, BackupPiece, DropTenant, FetchTenantRequest, InstallTenant, RestoreDirectory,
    RestoreReply, SaveRequest, SealTenant, TenancyReply, TenancyRequest, TenantPiece, TenantRow, TenantStanding,
    backup_piece::Kind, backup_server, directory_entry, tenancy_request::Change,
};
use sha2::{Digest as _, Sha256};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{
    refusals::{refused, unreached},
    tenancy::{PIECE_BYTES, Pieces},
};
use crate::{
    clock::now_us,
    directory::{Directory, RULES_OF_NODES},
    moves::name_in_records,
    pump,
    shards::Shards,
};

/// The form of backups that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// Bytes of a backup that is restored: it is looked at as a whole before anything of it is taken.
const RESTORE_BYTES_MAX: usize = 2 << 30;
/// Tenants in a backup.
const PARTS_MAX: usize = 10_000;
/// How long one question may take.
const WAIT: Duration = Duration::from_secs(10);
/// Between attempts at a tenant that is just moving.
const AGAIN: Duration = Duration::from_millis(200);
/// Attempts at one tenant.
const ATTEMPTS_MAX: usize = 50;
/// Pieces that wait for whoever takes them.
const PIECES_WAITING_MAX: usize = 8;

/// The service.
#[derive(Clone)]
pub(crate) struct BackupService {
    pub(crate) shards: Shards,
}

type Saving = Pin<Box<dyn Stream<Item = Result<BackupPiece, Status>> + Send>>;
type Sender = mpsc::Sender<Result<BackupPiece, Status>>;

/// The directory as it is saved.
struct Saved {
    header: BackupHeader,
    directory: Vec<u8>,
    documents: usize,
}

impl Saved {
    fn of(directory: &Directory) -> Self {
        let identity = directory.identity();
        let header = BackupHeader {
            format: FORMAT,
            cluster: identity.map(|identity| identity.cluster.clone()).unwrap_or_default(),
            at_ms: now_us() / 1_000,
            release: env!("CARGO_PKG_VERSION").into(),
            rules: directory.rules(),
            directory_version: directory.version(),
            tenants: directory.tenants().cloned().collect(),
        };
        Self { header, directory: directory.save(), documents: directory.documents().count() }
    }
}

#[tonic::async_trait]
impl backup_server::Backup for BackupService {
    type SaveStream = Saving;

    async fn save(&self, _: Request<SaveRequest>) -> Result<Response<Self::SaveStream>, Status> {
        let saved = self.directory().await?;
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(status) = service.write(saved, &pieces).await {
                let _ = pieces.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn restore(&self, request: Request<Streaming<BackupPiece>>) -> Result<Response<RestoreReply>, Status> {
        let present = self.directory().await?;
        if present.header.rules < RULES_OF_NODES {
            return Err(Status::failed_precondition(
                "the cluster's rules are too early: `cordctl upgrade finish` first",
            ));
        }
        if present.documents > 0 {
            return Err(Status::failed_precondition(
                "the cluster has documents; a backup is restored only into a cluster that has none",
            ));
        }
        let (backup, by) = Backup::read(request.into_inner()).await?;
        if backup.header.rules > acd::RULES {
            let detail = format!(
                "the saved cluster follows rules {}; this release knows them up to {}",
                backup.header.rules,
                acd::RULES
            );
            return Err(Status::failed_precondition(detail));
        }
        self.take(backup, by).await.map(Response::new)
    }
}

impl BackupService {
    async fn directory(&self) -> Result<Saved, Status> {
        self.shards.answers().directory_here(Saved::of).await.map_err(|leader| {
            let at = if leader.endpoint.is_empty() { "another node".to_owned() } else { leader.endpoint };
            Status::unavailable(format!("the directory is led at {at}"))
        })
    }

    async fn write(&self, saved: Saved, pieces: &Sender) -> Result<(), Status> {
        let Saved { header, directory, .. } = saved;
        let tenants = header.tenants.clone();
        let parts = u32::try_from(tenants.len() + 1).unwrap_or(u32::MAX);
        send(pieces, Kind::Header(header)).await?;
        let part = BackupPart {
            bytes: directory.len() as u64,
            sha256: Sha256::digest(&directory).to_vec(),
            ..BackupPart::default()
        };
        send(pieces, Kind::Part(part)).await?;
        for data in directory.chunks(PIECE_BYTES) {
            send(pieces, Kind::Data(data.to_vec())).await?;
        }
        for row in tenants {
            let (first, mut rest) = self.state_of(&row).await?;
            let part =
                BackupPart { tenant: row.number, bytes: first.bytes_total, sha256: first.sha256, calls: first.calls };
            send(pieces, Kind::Part(part)).await?;
            send(pieces, Kind::Data(first.data)).await?;
            while let Some(piece) = rest.next().await {
                send(pieces, Kind::Data(piece?.data)).await?;
            }
        }
        send(pieces, Kind::End(BackupEnd { parts })).await
    }

    /// A tenant as it is at one moment, wherever it lives then.
    async fn state_of(&self, row: &TenantRow) -> Result<(TenantPiece, Pieces), Status> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let rows = self.shards.answers().directory_here(|directory| directory.homes()).await;
            let shard = rows.ok().and_then(|homes| homes.get(&row.number).copied()).unwrap_or(row.shard);
            let fetch = FetchTenantRequest { shard, tenant: row.number, living: true, ..FetchTenantRequest::default() };
            match self.shards.fetch_tenant(fetch, WAIT).await {
                Ok(mut pieces) => match pieces.next().await {
                    Some(Ok(first)) => return Ok((first, pieces)),
                    Some(Err(status)) => why = status.message().to_owned(),
                    None => why = "nothing came".into(),
                },
                Err(error) => why = error.to_string(),
            }
            sleep(AGAIN).await;
        }
        Err(Status::unavailable(format!("tenant {} cannot be saved now: {why}", row.name)))
    }

    async fn take(&self, backup: Backup, by: String) -> Result<RestoreReply, Status> {
        let restore = RestoreDirectory { snapshot: backup.directory, by };
        let taken = self.shards.propose(directory_entry::Kind::Restore(restore), WAIT).await;
        taken.map_err(|error| unreached(&error))?.map_err(|rejection| refused(&rejection))?;
        let present = pump::present(&self.shards, WAIT).await.map_err(|error| unreached(&error))?;
        let present = present.ok_or_else(|| Status::internal("the directory gave an answer to another question"))?;
        for (tenant, state) in backup.tenants {
            let Some(row) = present.tenants.iter().find(|row| row.number == tenant) else { continue };
            self.bring(row, &state).await?;
            // What it was configured with was another cluster's version.
            pump::configure(&self.shards, &present, row).await.map_err(|error| unreached(&error))?;
            tracing::info!(tenant = row.name, shard = row.shard, bytes = state.len(), "the tenant is restored");
        }
        Ok(RestoreReply { version: present.version, tenants: present.tenants })
    }

    /// Puts a saved state in the place of the empty one that lives there.
    async fn bring(&self, row: &TenantRow, state: &[u8]) -> Result<(), Status> {
        let (moved, total) = (row.r#move, state.len() as u64);
        let former = moved.saturating_sub(1);
        self.change(row, Change::Seal(SealTenant { r#move: former })).await?;
        self.change(row, Change::Drop(DropTenant { r#move: former, undo: false })).await?;
        let crc = crc32fast::hash(state);
        let ends = state.chunks(PIECE_BYTES).chain([&[][..]]);
        let mut offset = 0;
        let mut last = None;
        for data in ends {
            let install = InstallTenant {
                r#move: moved,
                offset,
                bytes_total: total,
                data: data.to_vec(),
                crc,
                name: name_in_records(row),
            };
            offset += data.len() as u64;
            last = Some(self.change(row, Change::Install(install)).await?);
        }
        match last {
            Some(there) if there.standing() == TenantStanding::Lives && there.r#move == moved => Ok(()),
            _ => Err(Status::data_loss(format!(
                "the saved state of tenant {} could not be taken; restore into a new, empty cluster",
                row.name
            ))),
        }
    }

    async fn change(&self, row: &TenantRow, change: Change) -> Result<TenancyReply, Status> {
        let request = TenancyRequest { shard: row.shard, tenant: row.number, change: Some(change) };
        self.shards.tenancy(request, WAIT).await.map_err(|error| unreached(&error))
    }
}

async fn send(pieces: &Sender, kind: Kind) -> Result<(), Status> {
    let piece = BackupPiece { kind: Some(kind), by: String::new() };
    pieces.send(Ok(piece)).await.map_err(|_| Status::cancelled("nobody takes the backup any more"))
}

/// A whole backup, every part of which is what was saved.
#[derive(Debug, Default)]
struct Backup {
    header: BackupHeader,
    directory: Vec<u8>,
    tenants: Vec<(u32, Vec<u8>)>,
}

impl Backup {
    async fn read(
        mut pieces: impl Stream<Item = Result<BackupPiece, Status>> + Unpin,
    ) -> Result<(Self, String), Status> {
        let wrong =
            |what: &str| Err(Status::invalid_argument(format!("this is no backup that can be restored: {what}")));
        let (mut backup, mut by, mut bytes) = (Self::default(), String::new(), 0_usize);
        let mut begun: Option<(BackupPart, Vec<u8>)> = None;
        let mut parts = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            match piece.kind {
                Some(Kind::Header(header)) if backup.header.format == 0 && header.format == FORMAT => {
                    (backup.header, by) = (header, piece.by);
                }
                Some(Kind::Header(header)) => return wrong(&format!("format {}", header.format)),
                _ if backup.header.format == 0 => return wrong("it does not begin with a header"),
                Some(Kind::Part(part)) => {
                    backup.keep(begun.take())?;
                    parts += 1;
                    if parts > PARTS_MAX {
                        return wrong("it has too many parts");
                    }
                    begun = Some((part, Vec::new()));
                }
                Some(Kind::Data(data)) => {
                    bytes += data.len();
                    if bytes > RESTORE_BYTES_MAX {
                        return wrong(&format!("it is larger than {RESTORE_BYTES_MAX} bytes"));
                    }
                    let Some((_, state)) = &mut begun else { return wrong("bytes of no part") };
                    state.extend_from_slice(&data);
                }
                Some(Kind::End(end)) => {
                    backup.keep(begun.take())?;
                    if end.parts as usize != parts || backup.directory.is_empty() {
                        return wrong("parts are missing");
                    }
                    return Ok((backup, by));
                }
                None => return wrong("a piece of an unknown kind"),
            }
        }
        wrong("its end is missing")
    }

    fn keep(&mut self, part: Option<(BackupPart, Vec<u8>)>) -> Result<(), Status> {
        let Some((part, state)) = part else { return Ok(()) };
        if state.len() as u64 != part.bytes || Sha256::digest(&state).as_slice() != part.sha256 {
            let what =
                if part.tenant == 0 { "the directory".to_owned() } else { format!("tenant number {}", part.tenant) };
            return Err(Status::invalid_argument(format!("{what} is damaged in this backup")));
        }
        if part.tenant == 0 {
            self.directory = state;
        } else {
            // Found out before anything is taken.
            acd::Shard::restore(&state)
                .map_err(|error| Status::invalid_argument(format!("tenant number {}: {error}", part.tenant)))?;
            self.tenants.push((part.tenant, state));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: Kind) -> Result<BackupPiece, Status> {
        Ok(BackupPiece { kind: Some(kind), by: "anna".into() })
    }

    fn part(tenant: u32, state: &[u8]) -> Vec<Kind> {
        let sha256 = Sha256::digest(state).to_vec();
        let head = BackupPart { tenant, bytes: state.len() as u64, sha256, calls: 0 };
        let mut all = vec![Kind::Part(head)];
        all.extend(state.chunks(7).map(|data| Kind::Data(data.to_vec())));
        all
    }

    fn backup() -> Vec<Kind> {
        let header = BackupHeader { format: FORMAT, ..BackupHeader::default() };
        let mut all = vec![Kind::Header(header)];
        all.extend(part(0, b"a directory of words"));
        all.extend(part(1, &acd::Shard::new().save()));
        all.push(Kind::End(BackupEnd { parts: 2 }));
        all
    }

    async fn read(kinds: Vec<Kind>) -> Result<(Backup, String), String> {
        let pieces = futures::stream::iter(kinds.into_iter().map(piece).collect::<Vec<_>>());
        Backup::read(pieces).await.map_err(|status| status.message().to_owned())
    }

    #[tokio::test]
    async fn a_backup_is_taken_only_whole() {
        let (whole, by) = read(backup()).await.expect("whole");
        assert_eq!(
            (whole.directory.as_slice(), whole.tenants.len(), by.as_str()),
            (&b"a directory of words"[..], 1, "anna")
        );
        let length = backup().len();
        for until in 0..length {
            read(backup()[..until].to_vec()).await.expect_err("cut off");
        }
        for at in 0..length {
            let mut damaged = backup();
            match &mut damaged[at] {
                Kind::Data(data) => data[0] ^= 4,
                _ => drop(damaged.remove(at)),
            }
            let refused = read(damaged).await.expect_err("damaged");
            assert!(refused.contains("damaged") || refused.contains("no backup"), "{refused}");
        }
        let other = vec![Kind::Header(BackupHeader { format: 2, ..BackupHeader::default() })];
        assert!(read(other).await.expect_err("of a later release").contains("format 2"));
    }
}
