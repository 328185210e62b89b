//! `cordctl snapshot ..`: the whole cluster in a file. The file holds the pieces of the backup, each with its length before
//! it; what is damaged or cut off is refused before any cluster is asked.

use std::{
    fs,
    io::{BufReader, BufWriter, Read, Write},
    path::Path,
};

use prost::Message as _;
use proto::v1::{BackupHeader, BackupPart, BackupPiece, SaveRequest, backup_client::BackupClient, backup_piece::Kind};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tonic::{Request, transport::Channel};

use crate::{
    args::Snapshot,
    cluster::{Cluster, by},
    failure::Failure,
    output::{Output, figure, plain},
};

/// The only form of backups that this release reads.
const FORMAT: u32 = 1;
/// Bytes of a piece: one that is longer is none of ours.
const PIECE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Serialize)]
struct View {
    cluster: String,
    release: String,
    rules: u32,
    at_ms: u64,
    directory_version: u64,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    name: String,
    bytes: u64,
    calls: u64,
}

pub(super) async fn run(
    asked: Snapshot,
    cluster: impl Fn() -> Result<Cluster, Failure>,
    output: Output,
) -> Result<String, Failure> {
    match asked {
        Snapshot::Save { file } => {
            save(&file, &mut cluster()?).await?;
            show(&inspect(&file)?, output)
        }
        Snapshot::Inspect { file } => show(&inspect(&file)?, output),
        Snapshot::Restore { file } => {
            let view = inspect(&file)?;
            restore(&file, &mut cluster()?).await?;
            show(&view, output)
        }
    }
}

/// Writes beside the file and renames at the end, so that a file of that name is a whole backup.
async fn save(file: &Path, cluster: &mut Cluster) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::Usage(format!("{} is there already", file.display())));
    }
    let local = |error: std::io::Error| Failure::Local(format!("cannot write {}: {error}", file.display()));
    let what = "snapshot save";
    let rpc = async |channel: &mut Channel, request| {
        BackupClient::new(channel.clone()).max_decoding_message_size(PIECE_BYTES_MAX).save(request).await
    };
    let mut pieces = cluster.open_service(what, SaveRequest {}, rpc).await?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    let mut written = BufWriter::new(fs::File::create(beside).map_err(local)?);
    let mut whole = false;
    loop {
        match pieces.message().await {
            Ok(Some(piece)) => {
                whole = matches!(piece.kind, Some(Kind::End(_)));
                written.write_all(&piece.encode_length_delimited_to_vec()).map_err(local)?;
            }
            Ok(None) if whole => break,
            Ok(None) => return Err(Failure::Local("the backup ended before its end".to_owned())),
            Err(status) => return Err(Failure::of(what, "the cluster", &status)),
        }
    }
    let done = written.into_inner().map_err(|error| local(error.into_error()))?;
    done.sync_all().map_err(local)?;
    fs::rename(beside, file).map_err(local)
}

async fn restore(file: &Path, cluster: &mut Cluster) -> Result<(), Failure> {
    let rpc = async |channel: &mut Channel, request: Request<()>| {
        let mut reader = Reader::open(file).map_err(|error| tonic::Status::invalid_argument(error.to_string()))?;
        let (pieces, receiver) = tokio::sync::mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            while let Ok(Some(mut piece)) = reader.next() {
                if matches!(piece.kind, Some(Kind::Header(_))) {
                    piece.by = by();
                }
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
            }
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let (metadata, extensions, ()) = request.into_parts();
        let request = Request::from_parts(metadata, extensions, stream);
        BackupClient::new(channel.clone()).max_encoding_message_size(PIECE_BYTES_MAX).restore(request).await
    };
    cluster.ask_service("snapshot restore", (), rpc).await.map(drop)
}

/// Reads all of it, and says what is in it.
fn inspect(file: &Path) -> Result<View, Failure> {
    let mut reader = Reader::open(file)?;
    let Some(Kind::Header(header)) = reader.next()?.and_then(|piece| piece.kind) else {
        return Err(reader.wrong("it is no backup of ours"));
    };
    if header.format != FORMAT {
        return Err(reader.wrong(&format!("it has format {}, this release reads format {FORMAT}", header.format)));
    }
    let mut parts: Vec<(BackupPart, u64, Sha256)> = Vec::new();
    loop {
        match reader.next()?.and_then(|piece| piece.kind) {
            Some(Kind::Part(part)) => parts.push((part, 0, Sha256::new())),
            Some(Kind::Data(data)) => {
                let Some((_, bytes, digest)) = parts.last_mut() else { return Err(reader.wrong("bytes of no part")) };
                *bytes += data.len() as u64;
                digest.update(&data);
            }
            Some(Kind::End(end)) if end.parts as usize == parts.len() => break,
            Some(Kind::End(_)) => return Err(reader.wrong("parts are missing")),
            Some(Kind::Header(_)) => return Err(reader.wrong("it begins twice")),
            None => return Err(reader.wrong("it is cut off")),
        }
    }
    if reader.next()?.is_some() {
        return Err(reader.wrong("something follows its end"));
    }
    let mut shown = Vec::new();
    for (part, bytes, digest) in parts {
        let name = name_of(&header, part.tenant);
        if bytes != part.bytes || digest.finalize().as_slice() != part.sha256 {
            return Err(reader.wrong(&format!("{name} is damaged")));
        }
        shown.push(Part { name, bytes, calls: part.calls });
    }
    let BackupHeader { cluster, at_ms, release, rules, directory_version, .. } = header;
    Ok(View { cluster, release, rules, at_ms, directory_version, parts: shown })
}

fn name_of(header: &BackupHeader, tenant: u32) -> String {
    match header.tenants.iter().find(|row| row.number == tenant) {
        Some(row) => format!("tenant {}", row.name),
        None if tenant == 0 => "directory".to_owned(),
        None => format!("tenant number {tenant}"),
    }
}

fn show(view: &View, output: Output) -> Result<String, Failure> {
    output.show(view, |page| {
        page.table(
            ["PART", "BYTES", "LIVE CALLS"],
            view.parts.iter().map(|part| [plain(&part.name), figure(part.bytes), figure(part.calls)]),
        );
    })
}

/// The pieces in a file, one after another.
struct Reader {
    file: String,
    bytes: BufReader<fs::File>,
}

impl Reader {
    fn open(file: &Path) -> Result<Self, Failure> {
        let opened = fs::File::open(file);
        let opened = opened.map_err(|error| Failure::Local(format!("cannot read {}: {error}", file.display())))?;
        Ok(Self { file: file.display().to_string(), bytes: BufReader::new(opened) })
    }

    fn next(&mut self) -> Result<Option<BackupPiece>, Failure> {
        let Some(length) = self.length()? else { return Ok(None) };
        if length > PIECE_BYTES_MAX {
            return Err(self.wrong("it is no backup of ours"));
        }
        let mut piece = vec![0; length];
        self.bytes.read_exact(&mut piece).map_err(|_| self.wrong("it is cut off"))?;
        BackupPiece::decode(piece.as_slice()).map(Some).map_err(|_| self.wrong("it is damaged, or no backup of ours"))
    }

    /// None at the end of the file.
    fn length(&mut self) -> Result<Option<usize>, Failure> {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let mut byte = [0];
            match self.bytes.read(&mut byte) {
                Ok(0) if shift == 0 => return Ok(None),
                Ok(0) => return Err(self.wrong("it is cut off")),
                Ok(_) if shift > 28 => return Err(self.wrong("it is no backup of ours")),
                Ok(_) => {
                    length |= usize::from(byte[0] & 0x7f) << shift;
                    if byte[0] & 0x80 == 0 {
                        return Ok(Some(length));
                    }
                    shift += 7;
                }
                Err(error) => return Err(self.wrong(&error.to_string())),
            }
        }
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::Local(format!("{} cannot be used: {why}", self.file))
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{BackupEnd, TenantRow};

    use super::*;

    fn backup() -> Vec<u8> {
        let tenants = vec![TenantRow { number: 1, name: "main".into(), ..TenantRow::default() }];
        let header = BackupHeader { format: FORMAT, cluster: "c".into(), tenants, ..BackupHeader::default() };
        let mut kinds = vec![Kind::Header(header)];
        for (tenant, state) in [(0, b"the directory".as_slice()), (1, b"the main tenant")] {
            let sha256 = Sha256::digest(state).to_vec();
            kinds.push(Kind::Part(BackupPart { tenant, bytes: state.len() as u64, sha256, calls: tenant.into() }));
            kinds.extend(state.chunks(5).map(|data| Kind::Data(data.to_vec())));
        }
        kinds.push(Kind::End(BackupEnd { parts: 2 }));
        let pieces = kinds.into_iter().map(|kind| BackupPiece { kind: Some(kind), by: String::new() });
        pieces.flat_map(|piece| piece.encode_length_delimited_to_vec()).collect()
    }

    fn look(bytes: &[u8]) -> Result<View, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("backup");
        fs::write(&file, bytes).expect("written");
        inspect(&file).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_whole_backup_is_shown() {
        let view = look(&backup()).expect("whole");
        let parts: Vec<_> = view.parts.iter().map(|part| (part.name.as_str(), part.bytes, part.calls)).collect();
        assert_eq!(parts, [("directory", 13, 0), ("tenant main", 15, 1)]);
    }

    #[test]
    fn what_is_cut_off_or_longer_is_refused_at_every_length() {
        let whole = backup();
        for length in 0..whole.len() {
            look(&whole[..length]).expect_err("cut off");
        }
        look(&[whole.as_slice(), &whole].concat()).expect_err("two of them");
        let refused = look(b"apiVersion: v1\nkind: Secret\n").expect_err("of somebody else");
        assert!(refused.contains("no backup of ours") || refused.contains("cut off"), "{refused}");
    }

    #[test]
    fn a_flipped_bit_in_what_is_saved_is_found() {
        let whole = backup();
        let parts = [b"the directory".as_slice(), b"the main tenant"];
        let at = |part: &[u8]| whole.windows(3).position(|bytes| bytes == &part[..3]).expect("it is there");
        for part in parts {
            let mut damaged = whole.clone();
            damaged[at(part) + 1] ^= 0x10;
            let refused = look(&damaged).expect_err("damaged");
            assert!(refused.contains("is damaged"), "{refused}");
        }
    }
}
