//! What an endpoint is told once: identity, timers, limits.
//! Nothing here is read from files or the environment.

/// Everything an `Endpoint` is told at birth.
#[derive(Clone)]
pub struct EndpointConfig {
    /// The directory's secret: keys tags, call ids and nonces; the same for all gateways.
    pub secret: [u8; 32],
    /// Digest realm.
    pub realm: String,
    /// Host in our Via and Contact (an IP address, IPv6 without brackets, or a name).
    pub host: String,
    /// Further hosts that are ours, as somebody may write them in Refer-To: other gateways, domains.
    pub names: Vec<String>,
    /// Port in our Via and Contact.
    pub port: u16,
    /// Port of our TLS listener, in the Contact of dialogs over TLS; that of the others is `port`.
    pub tls_port: u16,
    /// This life of the gateway: tokens of its connections end with it.
    pub incarnation: u64,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// Bounds on everything the network may make us hold.
    pub limits: Limits,
    /// RFC 3261 timers.
    pub timers: Timers,
    /// An INVITE that nobody decides gets 503 after this long.
    pub setup_wait_ms: u64,
    /// An INVITE of ours without any provisional answer is given up after this long.
    pub no_provisional_ms: u64,
    /// An INVITE of ours that only rings is given up after this long, should nobody end it before.
    pub ring_ms_max: u64,
    /// Seconds in `Retry-After` of a 503.
    pub retry_after_seconds: u32,
    /// A nonce older than this is stale.
    pub nonce_ms: u64,
    /// Session interval (RFC 4028) that we ask for; 0: none, only what the far end asks for.
    pub session_seconds: u32,
    /// SRTP keys may travel over any transport, not only over TLS: for networks that are protected otherwise.
    pub crypto_anywhere: bool,
    /// Challenge with SHA-256 (RFC 8760) before MD5. Off: phones that know RFC 2617 only, baresip 1.0 and SIPp 3.6 among
    /// them, give up at a challenge they do not know, wherever it stands. Answers in SHA-256 are taken anyway.
    pub challenge_sha256: bool,
}

impl EndpointConfig {
    /// Defaults for everything but identity.
    #[must_use]
    pub fn new(secret: [u8; 32], realm: &str, host: &str, port: u16) -> Self {
        Self {
            secret,
            realm: realm.to_owned(),
            host: host.to_owned(),
            names: Vec::new(),
            port,
            tls_port: 5061,
            incarnation: 0,
            user_agent: "Cordboard".to_owned(),
            limits: Limits::default(),
            timers: Timers::default(),
            setup_wait_ms: 8_000,
            no_provisional_ms: 4_000,
            ring_ms_max: 600_000,
            retry_after_seconds: 5,
            nonce_ms: 60_000,
            session_seconds: 1_800,
            crypto_anywhere: false,
            challenge_sha256: false,
        }
    }
}

impl std::fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointConfig").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// RFC 3261 section 17.1.1.1, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Timers {
    /// Round-trip estimate.
    pub t1_ms: u64,
    /// Longest retransmission interval.
    pub t2_ms: u64,
    /// How long a message may live in the network.
    pub t4_ms: u64,
}

impl Timers {
    /// 64*T1: how long anything is waited for (timers B, F, H, J, L, M).
    #[must_use]
    pub fn patience_ms(&self) -> u64 {
        self.t1_ms.saturating_mul(64)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1_ms: 500, t2_ms: 4_000, t4_ms: 5_000 }
    }
}

/// Bounds by name.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Legs at once; beyond it INVITEs get 503.
    pub legs_max: usize,
    /// Transactions at once, finished ones that only absorb included; beyond it requests get 503.
    pub transactions_max: usize,
    /// Bytes of one message.
    pub message_bytes_max: usize,
    /// Header fields of one message.
    pub headers_max: usize,
    /// Bytes of one header field, folding included.
    pub header_bytes_max: usize,
    /// Via header fields of one request; Max-Forwards lets it take 70 hops.
    pub vias_max: usize,
    /// Record-Route values kept for a dialog.
    pub routes_max: usize,
    /// Contacts in one REGISTER.
    pub contacts_max: usize,
    /// REGISTERs that wait for an answer.
    pub registers_max: usize,
    /// Media streams in one SDP.
    pub streams_max: usize,
    /// Shortest registration; shorter ones get 423.
    pub register_seconds_min: u32,
    /// Longest registration; longer ones are cut.
    pub register_seconds_max: u32,
    /// Shortest session interval (RFC 4028); shorter ones get 422.
    pub session_seconds_min: u32,
    /// Failed logins of one source (of a /64 in IPv6) in a window; beyond it, 403 without a look. An office behind one
    /// address must not be closed by a few phones with old passwords, which try ten times each.
    pub source_failures_max: u32,
    /// Failed logins as one user in a window; beyond it, sources that have failed themselves get 403.
    pub user_failures_max: u32,
    /// Sources and users whose failed logins are counted.
    pub failures_max: usize,
    /// How long failed logins are counted.
    pub failure_window_ms: u64,
    /// Bytes of a URI that somebody sends us to: Refer-To, Contact of a 3xx.
    pub uri_bytes_max: usize,
    /// Contacts of a 3xx that are told.
    pub redirects_max: usize,
    /// Early dialogs of one INVITE of ours that are followed (RFC 3262).
    pub forks_max: usize,
    /// Entries of History-Info and Diversion that are written.
    pub history_max: usize,
    /// Bindings of ours at registrars.
    pub bindings_max: usize,
    /// OPTIONS of ours that are under way.
    pub pings_max: usize,
    /// Bytes of a number, a caller or a name that are kept.
    pub name_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            legs_max: 20_000,
            transactions_max: 60_000,
            message_bytes_max: 64 * 1024,
            headers_max: 128,
            header_bytes_max: 8 * 1024,
            vias_max: 70,
            routes_max: 16,
            contacts_max: 8,
            registers_max: 10_000,
            streams_max: 16,
            register_seconds_min: 60,
            register_seconds_max: 3_600,
            session_seconds_min: 90,
            source_failures_max: 200,
            user_failures_max: 10,
            failures_max: 10_000,
            failure_window_ms: 60_000,
            uri_bytes_max: 512,
            redirects_max: 8,
            forks_max: 8,
            history_max: 8,
            bindings_max: 1_000,
            pings_max: 1_000,
            name_bytes_max: 128,
        }
    }
}
