//! Ports for one test: a block that no other test process has, below the kernel's range for outgoing connections.
//! Never gives a port twice.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};

/// Blocks lie here; `cordboard dev` takes its gRPC ports above.
const FIRST: u16 = 10_000;
const BLOCKS: u16 = 8;
const BLOCK_PORTS: u16 = 2_500;

/// A block of ports, locked while this lives.
#[derive(Debug)]
pub struct Ports {
    next: Mutex<u16>,
    end: u16,
    _lock: Flock<File>,
}

impl Ports {
    /// Takes a block that nobody else has.
    ///
    /// # Errors
    /// All are taken.
    pub fn take() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join("cordboard-tests-ports");
        fs::create_dir_all(&folder)?;
        let own = u16::try_from(std::process::id() % u32::from(BLOCKS))?;
        for turn in 0..BLOCKS {
            let block = (own + turn) % BLOCKS;
            let file = File::create(folder.join(block.to_string()))?;
            if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                let first = FIRST + block * BLOCK_PORTS;
                return Ok(Self { next: Mutex::new(first), end: first + BLOCK_PORTS, _lock: lock });
            }
        }
        bail!("all {BLOCKS} blocks of ports are taken by other tests")
    }

    /// One port that is free on UDP and TCP.
    ///
    /// # Errors
    /// The block is used up.
    pub fn one(&self) -> anyhow::Result<u16> {
        self.run(1)
    }

    /// `count` ports in a row, all free; returns the first.
    ///
    /// # Errors
    /// The block is used up.
    pub fn run(&self, count: u16) -> anyhow::Result<u16> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(end) = next.checked_add(count).filter(|end| *end <= self.end) {
            let first = *next;
            match (first..end).rfind(|port| !is_free(*port)) {
                None => {
                    *next = end;
                    return Ok(first);
                }
                Some(taken) => *next = taken + 1,
            }
        }
        None.context("the test's block of ports is used up")
    }

    /// A socket on one of the ports.
    ///
    /// # Errors
    /// The block is used up, or the socket cannot be opened.
    pub fn socket(&self) -> anyhow::Result<UdpSocket> {
        Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, self.one()?))?)
    }
}

fn is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
}
