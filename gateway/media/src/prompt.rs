//! What can be played: the built-in music and WAV files, encoded once at start for both laws. Knows no leg and no clock.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::api::Codec;
use crate::error::MediaError;
use crate::stream::FRAME_SAMPLES;
use crate::tone::SAMPLE_RATE_HZ;
use crate::{g711, music};

/// The name of the built-in music.
pub const MUSIC: &str = "music";
/// The longest prompt.
pub const PROMPT_SECONDS_MAX: u32 = 600;
/// The most files in the folder.
pub const PROMPTS_MAX: usize = 1_000;
/// All prompts together, in seconds; both laws of one second are 16 kB.
pub const PROMPTS_SECONDS_MAX: u32 = 4 * 3_600;

const FRAME_BYTES: usize = FRAME_SAMPLES as usize;

/// One loop, in both laws, a whole number of 20 ms frames.
#[derive(Debug)]
pub struct Prompt {
    mu: Box<[u8]>,
    a: Box<[u8]>,
}

impl Prompt {
    /// Encodes linear samples; the last frame is filled up with silence.
    fn new(samples: &[i16]) -> Prompt {
        let octets = samples.len().div_ceil(FRAME_BYTES).max(1) * FRAME_BYTES;
        let encode = |codec| {
            let mut encoded = vec![g711::silence(codec); octets];
            for (octet, sample) in encoded.iter_mut().zip(samples) {
                *octet = g711::encode(codec, *sample);
            }
            encoded.into_boxed_slice()
        };
        Prompt { mu: encode(Codec::Pcmu), a: encode(Codec::Pcma) }
    }

    /// How many frames it has; never 0.
    pub fn frames(&self) -> u64 {
        (self.mu.len() / FRAME_BYTES) as u64
    }

    /// The frame of the loop at a number of the common clock; every number has one.
    pub fn frame(&self, codec: Codec, number: u64) -> &[u8] {
        let octets = match codec {
            Codec::Pcmu => &self.mu,
            Codec::Pcma => &self.a,
        };
        let start = (number % self.frames()) as usize * FRAME_BYTES;
        &octets[start..start + FRAME_BYTES]
    }
}

/// All prompts by name.
#[derive(Debug)]
pub struct Prompts {
    music: Arc<Prompt>,
    chime: Arc<Prompt>,
    files: HashMap<String, Arc<Prompt>>,
}

impl Prompts {
    /// Computes the music and reads the folder. A file that cannot be used is said and left out; the rest still plays.
    pub fn load(folder: Option<&Path>) -> (Prompts, Vec<MediaError>) {
        let mut prompts = Prompts {
            music: Arc::new(Prompt::new(&music::samples())),
            chime: Arc::new(Prompt::new(&music::chime())),
            files: HashMap::new(),
        };
        let faults = match folder.map(|folder| prompts.read_folder(folder)) {
            None => Vec::new(),
            Some(Ok(faults)) => faults,
            Some(Err(fault)) => vec![fault],
        };
        (prompts, faults)
    }

    /// The prompt of that name. `None`: there is none.
    pub fn find(&self, name: &str) -> Option<&Arc<Prompt>> {
        self.files.get(name).or_else(|| (name == MUSIC).then_some(&self.music))
    }

    /// The built-in music, for who asked for something that is not there.
    pub fn music(&self) -> &Arc<Prompt> {
        &self.music
    }

    /// The built-in chime, for an announcement of which nothing is there.
    pub fn chime(&self) -> &Arc<Prompt> {
        &self.chime
    }

    fn read_folder(&mut self, folder: &Path) -> Result<Vec<MediaError>, MediaError> {
        let fault = |source: std::io::Error| prompt_error(folder, format!("the folder cannot be read: {source}"));
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav")) {
                paths.push(path);
            }
        }
        paths.sort();
        let mut faults = Vec::new();
        if paths.len() > PROMPTS_MAX {
            faults.push(prompt_error(folder, format!("more than {PROMPTS_MAX} files; the rest is left out")));
            paths.truncate(PROMPTS_MAX);
        }
        let mut room = PROMPTS_SECONDS_MAX * SAMPLE_RATE_HZ;
        for path in paths {
            match read_wav(&path, room) {
                Ok(samples) => {
                    room -= samples.len() as u32;
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    self.files.insert(name, Arc::new(Prompt::new(&samples)));
                }
                Err(fault) => faults.push(fault),
            }
        }
        Ok(faults)
    }
}

fn prompt_error(path: &Path, reason: String) -> MediaError {
    MediaError::Prompt { path: path.to_owned(), reason }
}

/// Reads a WAV file of at most `room` samples: 8 kHz, mono, 16 bit, at most [`PROMPT_SECONDS_MAX`].
fn read_wav(path: &Path, room: u32) -> Result<Vec<i16>, MediaError> {
    let broken = |source: hound::Error| prompt_error(path, format!("not a readable WAV file: {source}"));
    let mut reader = hound::WavReader::open(path).map_err(broken)?;
    let spec = reader.spec();
    let fits = spec.sample_rate == SAMPLE_RATE_HZ
        && spec.channels == 1
        && spec.bits_per_sample == 16
        && spec.sample_format == hound::SampleFormat::Int;
    if !fits {
        let found = format!("{} Hz, {} channel(s), {} bit", spec.sample_rate, spec.channels, spec.bits_per_sample);
        return Err(prompt_error(
            path,
            format!("is {found}; must be 8000 Hz, 1 channel, 16 bit (sox IN -r 8000 -c 1 -b 16 OUT)"),
        ));
    }
    match reader.duration() {
        0 => return Err(prompt_error(path, "has no sound in it".to_owned())),
        samples if samples > PROMPT_SECONDS_MAX * SAMPLE_RATE_HZ => {
            return Err(prompt_error(path, format!("is longer than {PROMPT_SECONDS_MAX} s")));
        }
        samples if samples > room => {
            return Err(prompt_error(path, format!("all prompts together are longer than {PROMPTS_SECONDS_MAX} s")));
        }
        _ => {}
    }
    reader.samples::<i16>().collect::<Result<Vec<_>, _>>().map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_wav(path: &Path, sample_rate: u32, channels: u16, samples: &[i16]) {
        let spec =
            hound::WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        let mut writer = hound::WavWriter::create(path, spec).expect("create");
        samples.iter().for_each(|sample| writer.write_sample(*sample).expect("write"));
        writer.finalize().expect("finalize");
    }

    #[test]
    fn good_files_play_and_each_bad_one_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().expect("folder");
        write_wav(&folder.path().join("welcome.wav"), 8_000, 1, &[1_000; 200]);
        write_wav(&folder.path().join("fast.wav"), 44_100, 2, &[1_000; 200]);
        write_wav(&folder.path().join("empty.wav"), 8_000, 1, &[]);
        std::fs::write(folder.path().join("noise.wav"), b"RIFF\xFF\xFF\xFF\xFFnonsense").expect("write");
        std::fs::write(folder.path().join("readme.txt"), b"not looked at").expect("write");
        let (prompts, faults) = Prompts::load(Some(folder.path()));
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|fault| fault.contains("fast.wav") && fault.contains("44100 Hz, 2 channel(s)")));
        assert!(faults.iter().any(|fault| fault.contains("empty.wav") && fault.contains("no sound")));
        assert!(faults.iter().any(|fault| fault.contains("noise.wav") && fault.contains("WAV")));
        let welcome = prompts.find("welcome").expect("loaded");
        let loud = g711::encode(Codec::Pcma, 1_000);
        assert_eq!(welcome.frame(Codec::Pcma, 0), [loud; 160]);
        assert_eq!(welcome.frame(Codec::Pcma, 1)[..40], [loud; 40]);
        assert_eq!(welcome.frame(Codec::Pcma, 1)[40..], [g711::silence(Codec::Pcma); 120]);
        assert_eq!(welcome.frame(Codec::Pcmu, 7), welcome.frame(Codec::Pcmu, 1));
    }

    #[test]
    fn music_is_there_without_any_folder_and_others_are_not() {
        let (prompts, faults) = Prompts::load(None);
        assert!(faults.is_empty());
        assert!(prompts.find(MUSIC).is_some());
        assert!(prompts.find("welcome").is_none());
        let (_, faults) = Prompts::load(Some(Path::new("/does/not/exist")));
        assert_eq!(faults.len(), 1);
    }
}
