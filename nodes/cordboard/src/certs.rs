//! `cordboard certs`: certificates from a small authority in a folder. What a certificate says is `trust`'s.

// What it says to its user is what it is there for.
#![allow(clippy::print_stdout)]

use trust::{Role, authority::Authority};

use crate::args::{CertArgs, CertsCommand};

/// Makes what was asked for and says where it is.
pub(crate) fn run(command: &CertsCommand) -> anyhow::Result<()> {
    match command {
        CertsCommand::Ca { cluster, dir } => {
            Authority::begin(dir, cluster)?;
            let dir = dir.display();
            println!(
                "{dir}/ca.pem is for everybody of cluster {cluster}; {dir}/ca.key makes certificates: keep it safe"
            );
            Ok(())
        }
        CertsCommand::Node(certificate) => issue(certificate, Role::Node),
        CertsCommand::Gateway(certificate) => issue(certificate, Role::Gateway),
        CertsCommand::User { certificate, role } => issue(certificate, *role),
    }
}

fn issue(asked: &CertArgs, role: Role) -> anyhow::Result<()> {
    let files = Authority::open(&asked.dir)?.issue(&asked.name, role, asked.days)?;
    let (ca, certificate, key) = (files.ca.display(), files.certificate.display(), files.key.display());
    println!("--cluster-ca {ca} --cluster-certificate {certificate} --cluster-key {key}");
    Ok(())
}
