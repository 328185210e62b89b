//! The name in a certificate, and the role that comes with it. Reads and writes text; believes nothing by itself.

use std::fmt;

const SCHEME: &str = "cordboard://";
/// Bytes of a cluster's or anybody's name.
const NAME_BYTES_MAX: usize = 128;

/// What somebody is to the cluster. Who shows no certificate is a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Shows no certificate.
    Stranger,
    /// A node of the cluster.
    Node,
    /// A gateway.
    Gateway,
    /// A person who looks.
    Viewer,
    /// A person who leads agents: their states and calls.
    Supervisor,
    /// A person who runs the cluster: nodes, shards, gateways.
    Operator,
    /// A person who may do all that people may.
    Admin,
    /// A person who reads what others did.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Stranger,
        Self::Node,
        Self::Gateway,
        Self::Viewer,
        Self::Supervisor,
        Self::Operator,
        Self::Admin,
        Self::Auditor,
    ];
    /// Those that a person can have.
    pub const OF_USERS: [Self; 5] = [Self::Viewer, Self::Supervisor, Self::Operator, Self::Admin, Self::Auditor];

    /// As certificates and people write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Node => "node",
            Self::Gateway => "gateway",
            Self::Viewer => "viewer",
            Self::Supervisor => "supervisor",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Whether it is a person's.
    #[must_use]
    pub fn is_user(self) -> bool {
        Self::OF_USERS.contains(&self)
    }

    /// The role of a person by its word.
    #[must_use]
    pub fn of_user(word: &str) -> Option<Self> {
        Self::OF_USERS.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u16);

impl Roles {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// These and no others.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < roles.len() {
            set |= 1 << roles[index] as u16;
            index += 1;
        }
        Self(set)
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether a role is among them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u16) != 0
    }
}

/// Whom a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it is of.
    pub cluster: String,
    /// `n1`, `g1`, or a person's name.
    pub name: String,
    /// Never a stranger.
    pub role: Role,
}

/// A certificate without a name that means something here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No URI of ours, or more than one.
    #[error("the certificate has {0} names of the form cordboard://CLUSTER/..., not one")]
    Names(usize),
    /// A URI that is none of the three forms.
    #[error(
        "{0:?} is none of cordboard://CLUSTER/node/ID, cordboard://CLUSTER/gateway/ID and \
         cordboard://CLUSTER/user/NAME?role=viewer|supervisor|operator|admin|auditor"
    )]
    Form(String),
    /// Not a certificate at all.
    #[error("it cannot be read as a certificate")]
    Unreadable,
}

impl Identity {
    /// Of a cluster, by name and role.
    ///
    /// # Errors
    /// A name that a certificate cannot carry, or a stranger.
    pub fn new(cluster: &str, name: &str, role: Role) -> Result<Self, NameError> {
        let identity = Self { cluster: cluster.to_owned(), name: name.to_owned(), role };
        let good = role != Role::Stranger && is_name(cluster) && is_name(name);
        if good { Ok(identity) } else { Err(NameError::Form(identity.to_string())) }
    }

    /// From the URI in a certificate.
    ///
    /// # Errors
    /// It is none of the three forms.
    pub fn parse(uri: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Form(uri.chars().take(NAME_BYTES_MAX * 3).collect());
        let rest = uri.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let (cluster, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let (kind, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let (name, role) = match kind {
            "node" => (rest, Role::Node),
            "gateway" => (rest, Role::Gateway),
            "user" => {
                let (name, word) = rest.split_once("?role=").ok_or_else(wrong)?;
                (name, Role::of_user(word).ok_or_else(wrong)?)
            }
            _ => return Err(wrong()),
        };
        Self::new(cluster, name, role).map_err(|_| wrong())
    }

    /// The one name of ours in a certificate.
    ///
    /// # Errors
    /// There is none, more than one, or one that means nothing.
    pub(crate) fn of_certificate(der: &tokio_rustls::rustls::pki_types::CertificateDer<'_>) -> Result<Self, NameError> {
        let certificate = webpki::EndEntityCert::try_from(der).map_err(|_| NameError::Unreadable)?;
        let names: Vec<&str> = certificate.valid_uri_names().filter(|uri| uri.starts_with(SCHEME)).collect();
        match names[..] {
            [uri] => Self::parse(uri),
            _ => Err(NameError::Names(names.len())),
        }
    }
}

/// As the certificate says it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, name, role } = self;
        match role {
            Role::Node | Role::Gateway => write!(f, "{SCHEME}{cluster}/{role}/{name}"),
            _ => write!(f, "{SCHEME}{cluster}/user/{name}?role={role}"),
        }
    }
}

/// What needs no escapes in a URI, so that there is one way to write each name.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@+".contains(&byte);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_is_read_as_it_is_written() {
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Stranger) {
            let identity = Identity::new("east-1", "anna.b@example.net", role).expect("a name");
            assert_eq!(Identity::parse(&identity.to_string()), Ok(identity));
        }
        assert_eq!(Identity::new("c", "n1", Role::Node).expect("a name").to_string(), "cordboard://c/node/n1");
    }

    #[test]
    fn what_is_not_exactly_a_name_is_none() {
        for uri in [
            "",
            "https://c/node/n1",
            "cordboard://c/node/",
            "cordboard:///node/n1",
            "cordboard://c/node/n1/n2",
            "cordboard://c/node/n1?role=admin",
            "cordboard://c/user/anna",
            "cordboard://c/user/anna?role=node",
            "cordboard://c/user/anna?role=root",
            "cordboard://c/user/anna?role=viewer&role=admin",
            "cordboard://c/user/a%6ea?role=viewer",
            "cordboard://c/shard/1",
            "cordboard://c",
        ] {
            assert!(Identity::parse(uri).is_err(), "{uri}");
        }
        assert!(Identity::new("c", &"x".repeat(NAME_BYTES_MAX + 1), Role::Node).is_err());
        assert!(Identity::new("c", "x", Role::Stranger).is_err());
    }

    #[test]
    fn a_set_has_what_it_was_made_of() {
        let set = Roles::of(&[Role::Node, Role::Auditor]);
        let has: Vec<Role> = Role::ALL.into_iter().filter(|role| set.has(*role)).collect();
        assert_eq!(has, [Role::Node, Role::Auditor]);
        assert!(Role::ALL.into_iter().all(|role| !Roles::NONE.has(role)));
        assert!(set.and(Roles::of(&[Role::Stranger])).has(Role::Stranger));
    }
}
