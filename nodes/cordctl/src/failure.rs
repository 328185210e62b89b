//! What can go wrong, what it says, and the exit code it ends with. The codes are a promise: scripts match on them.

use thiserror::Error;
use tonic::{Code, Status};

use crate::output::{clean, clean_lines};

/// The exit codes, as `cordctl --help` and `docs/cordctl.md` list them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused or failed on the server (an invalid document, a wrong state)
  2  wrong usage, or a file that cannot be read
  3  no endpoint answered, or the cluster cannot answer now: try again
  4  the queue, agent, call or document does not exist

Environment:
  CORDCTL_ENDPOINT  what --endpoint is when neither it nor --dev is given
  CORDCTL_CLUSTER_CA, CORDCTL_CLUSTER_CERTIFICATE, CORDCTL_CLUSTER_KEY
                    what --cluster-ca and the others are when not given
  NO_COLOR          when set, no colours (there are none outside a terminal anyway)";

/// Why a command did not do what was asked.
#[derive(Debug, Error)]
pub enum Failure {
    /// Wrong arguments, or a file that cannot be read.
    #[error("cordctl: {0}")]
    Usage(String),
    /// The machine that cordctl runs on does not let it.
    #[error("cordctl: {0}")]
    Local(String),
    /// The server understood and said no, or failed.
    #[error("cordctl: {what}: {endpoint} refused: {why}")]
    Refused {
        /// What was asked.
        what: String,
        /// Who refused.
        endpoint: String,
        /// Its words.
        why: String,
    },
    /// The documents are wrong; nothing was applied.
    #[error("{}\ncordctl: apply: nothing was applied ({}); correct what is listed above and apply again",
            .lines.join("\n"), counted(.lines.len(), "error"))]
    Invalid {
        /// One line per error.
        lines: Vec<String>,
        /// The reply as data, when the format asks for it.
        data: String,
    },
    /// The documents of a what-if are wrong; nothing was simulated.
    #[error("{}\ncordctl: simulate: nothing was simulated ({}); correct what is listed above",
            .0.join("\n"), counted(.0.len(), "error"))]
    InvalidPolicy(Vec<String>),
    /// What was asked for is not there.
    #[error("cordctl: {what}: not found: {why}")]
    NotFound {
        /// What was asked.
        what: String,
        /// The server's words.
        why: String,
    },
    /// It was done, but there was more of it than the time allowed.
    #[error("cordctl: {what}: {left}")]
    Left {
        /// What was asked.
        what: String,
        /// What is left to be done.
        left: String,
    },
    /// Nobody answered.
    #[error("cordctl: {what}: no endpoint answered\n{}\nIs the cluster running? Check --endpoint, CORDCTL_ENDPOINT or --dev, or give it longer with --timeout.",
            .tried.join("\n"))]
    Unreachable {
        /// What was asked.
        what: String,
        /// One line per endpoint that was tried.
        tried: Vec<String>,
    },
    /// There is no development cluster in that directory.
    #[error("cordctl: {0}")]
    NoDevelopment(String),
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. }
            | Self::Left { .. }
            | Self::Invalid { .. }
            | Self::InvalidPolicy(_)
            | Self::Local(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::NoDevelopment(_) => 3,
            Self::NotFound { .. } => 4,
        }
    }

    /// What a final answer of a server means.
    pub(crate) fn of(what: &str, endpoint: &str, status: &Status) -> Self {
        let what = what.to_owned();
        let why = clean_lines(status.message());
        match status.code() {
            Code::NotFound => Self::NotFound { what, why },
            Code::Unimplemented => Self::Refused {
                what,
                endpoint: endpoint.to_owned(),
                why: format!("it does not know this command (is it an older release?) {why}"),
            },
            code => {
                let why = if why.is_empty() { clean(code.description()) } else { why };
                Self::Refused { what, endpoint: endpoint.to_owned(), why }
            }
        }
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
