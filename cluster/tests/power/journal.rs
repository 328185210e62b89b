//! What a power cut leaves of a disk, from the journal that `shim.c` has written. Knows no store.
//!
//! Only what was synced is sure: of a file its bytes, of a folder its names. What was not synced may be there, be absent, or
//! be there in part, by the dice: any subset of writes, each torn at sectors; of a folder's changes the first few.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use fastrand::Rng;

const SECTOR: usize = 512;
const HEAD: usize = 1 + 8 + 8 + 4 + 4;

/// Builds the shim with the system's compiler; the path of the library.
pub(crate) fn build_shim(folder: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/tests/power/shim.c");
    let library = folder.join("shim.so");
    let built =
        Command::new("gcc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(built.is_ok_and(|status| status.success()), "gcc builds the shim; tests/packages.sh installs it");
    library
}

/// Has a process write its journal. `disk` must be an absolute path.
pub(crate) fn watch(command: &mut Command, shim: &Path, disk: &Path, journal: &Path) {
    command.env("LD_PRELOAD", shim).env("POWER_DIR", disk).env("POWER_JOURNAL", journal);
}

/// One thing that was done to the disk.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    kind: u8,
    inode: u64,
    at: u64,
    a: Vec<u8>,
    b: Vec<u8>,
}

impl Step {
    /// What the process printed, when this is that.
    pub(crate) fn mark(&self) -> Option<&str> {
        (self.kind == 11).then(|| std::str::from_utf8(&self.a).ok())?
    }

    /// Whether something was made durable.
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self.kind, 5 | 6)
    }

    /// Whether bytes were written.
    pub(crate) fn is_write(&self) -> bool {
        self.kind == 3
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(String::from_utf8_lossy(&self.a).into_owned())
    }
}

/// Reads a journal. A last step that was cut off by a kill is not one.
pub(crate) fn read(journal: &Path) -> io::Result<Vec<Step>> {
    let bytes = fs::read(journal)?;
    let (mut rest, mut steps) = (bytes.as_slice(), Vec::new());
    while rest.len() >= HEAD {
        let long = |at: usize| rest[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let short = |at: usize| rest[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let (a, b) = (short(17), short(21));
        if rest.len() < HEAD + a + b {
            break;
        }
        let data = &rest[HEAD..];
        steps.push(Step {
            kind: rest[0],
            inode: long(1),
            at: long(9),
            a: data[..a].to_vec(),
            b: data[a..a + b].to_vec(),
        });
        rest = &data[a + b..];
    }
    Ok(steps)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    File(usize),
    Folder,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, data: Vec<u8> },
    Cut(usize),
    Grow(usize),
}

#[derive(Default, Clone)]
struct File {
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// A change of names. A rename within a folder is one; from one to another it is two.
#[derive(Debug, Clone)]
struct Naming {
    gone: Option<String>,
    there: Option<(String, Thing)>,
}

#[derive(Default, Clone)]
struct Folder {
    durable: BTreeMap<String, Thing>,
    unsynced: Vec<Naming>,
}

/// A disk, from its first state on.
#[derive(Clone)]
pub(crate) struct Disk {
    files: Vec<File>,
    folders: BTreeMap<PathBuf, Folder>,
    /// As a process sees it.
    names: BTreeMap<PathBuf, Thing>,
    inodes: HashMap<u64, usize>,
}

impl Disk {
    /// A disk that holds this folder, all of it durable.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let mut disk =
            Self { files: Vec::new(), folders: BTreeMap::new(), names: BTreeMap::new(), inodes: HashMap::new() };
        disk.folders.insert(PathBuf::new(), Folder::default());
        if folder.exists() {
            disk.load(folder, Path::new(""))?;
        }
        Ok(disk)
    }

    fn load(&mut self, real: &Path, path: &Path) -> io::Result<()> {
        for entry in fs::read_dir(real)? {
            let entry = entry?;
            let inner = path.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.name(&inner, Thing::Folder, true);
                self.load(&entry.path(), &inner)?;
            } else {
                self.files.push(File { durable: fs::read(entry.path())?, unsynced: Vec::new() });
                self.name(&inner, Thing::File(self.files.len() - 1), true);
            }
        }
        Ok(())
    }

    fn name(&mut self, path: &Path, thing: Thing, durable: bool) {
        self.names.insert(path.to_owned(), thing);
        if thing == Thing::Folder {
            self.folders.entry(path.to_owned()).or_default();
        }
        let (folder, name) = split(path);
        let folder = self.folders.entry(folder).or_default();
        if durable {
            folder.durable.insert(name, thing);
        } else {
            folder.unsynced.push(Naming { gone: None, there: Some((name, thing)) });
        }
    }

    /// Does the next step.
    pub(crate) fn take(&mut self, step: &Step) {
        let change = |disk: &mut Self, change| {
            if let Some(file) = disk.inodes.get(&step.inode) {
                disk.files[*file].unsynced.push(change);
            }
        };
        let at = step.at as usize;
        match step.kind {
            1 => {
                if let Some(Thing::File(file)) = self.names.get(&step.path()) {
                    self.inodes.insert(step.inode, *file);
                }
            }
            2 => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.inodes.insert(step.inode, file);
                self.name(&step.path(), Thing::File(file), false);
            }
            3 => change(self, Change::Write { at, data: step.a.clone() }),
            4 => change(self, Change::Cut(at)),
            10 => change(self, Change::Grow(at)),
            5 => {
                if let Some(file) = self.inodes.get(&step.inode).map(|file| &mut self.files[*file]) {
                    let changes = std::mem::take(&mut file.unsynced);
                    changes.iter().for_each(|change| apply(&mut file.durable, change));
                }
            }
            6 => {
                if let Some(folder) = self.folders.get_mut(&step.path()) {
                    let namings = std::mem::take(&mut folder.unsynced);
                    namings.into_iter().for_each(|naming| rename(&mut folder.durable, naming));
                }
            }
            7 => self.rename(&step.path(), Path::new(&*String::from_utf8_lossy(&step.b))),
            8 => {
                self.names.remove(&step.path());
                let (folder, name) = split(&step.path());
                let naming = Naming { gone: Some(name), there: None };
                self.folders.entry(folder).or_default().unsynced.push(naming);
            }
            9 => self.name(&step.path(), Thing::Folder, false),
            _ => {}
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let Some(thing) = self.names.remove(from) else { return };
        self.names.insert(to.to_owned(), thing);
        let ((folder, gone), (target, there)) = (split(from), split(to));
        let gone = Some(gone);
        if folder == target {
            let naming = Naming { gone, there: Some((there, thing)) };
            self.folders.entry(folder).or_default().unsynced.push(naming);
        } else {
            let arrives = Naming { gone: None, there: Some((there, thing)) };
            self.folders.entry(target).or_default().unsynced.push(arrives);
            self.folders.entry(folder).or_default().unsynced.push(Naming { gone, there: None });
        }
    }

    /// How many changes are not durable now.
    pub(crate) fn unsynced(&self) -> usize {
        let files: usize = self.files.iter().map(|file| file.unsynced.len()).sum();
        files + self.folders.values().map(|folder| folder.unsynced.len()).sum::<usize>()
    }

    /// Writes what a power cut now leaves into an empty folder. `mercy`: 0 = nothing that was not synced survives.
    pub(crate) fn cut(&self, to: &Path, mercy: f64, dice: &mut Rng) -> io::Result<()> {
        fs::create_dir_all(to)?;
        self.leave(Path::new(""), to, mercy, dice)
    }

    fn leave(&self, path: &Path, to: &Path, mercy: f64, dice: &mut Rng) -> io::Result<()> {
        let Some(folder) = self.folders.get(path) else { return Ok(()) };
        let mut names = folder.durable.clone();
        for naming in &folder.unsynced {
            if dice.f64() >= mercy {
                break;
            }
            rename(&mut names, naming.clone());
        }
        for (name, thing) in names {
            let target = to.join(&name);
            match thing {
                Thing::Folder => {
                    fs::create_dir_all(&target)?;
                    self.leave(&path.join(name), &target, mercy, dice)?;
                }
                Thing::File(file) => fs::write(target, self.files[file].left(mercy, dice))?,
            }
        }
        Ok(())
    }
}

impl File {
    fn left(&self, mercy: f64, dice: &mut Rng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            if dice.f64() >= mercy {
                continue;
            }
            match change {
                Change::Write { at, data } if dice.u8(..4) == 0 => {
                    for (number, sector) in data.chunks(SECTOR).enumerate().filter(|_| dice.bool()) {
                        apply(&mut bytes, &Change::Write { at: at + number * SECTOR, data: sector.to_vec() });
                    }
                }
                other => apply(&mut bytes, other),
            }
        }
        bytes
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, data } => {
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
        Change::Cut(len) => bytes.resize(*len, 0),
        Change::Grow(len) => bytes.resize((*len).max(bytes.len()), 0),
    }
}

fn rename(names: &mut BTreeMap<String, Thing>, naming: Naming) {
    if let Some(gone) = naming.gone {
        names.remove(&gone);
    }
    names.extend(naming.there);
}

fn split(path: &Path) -> (PathBuf, String) {
    let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    (folder, path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}
