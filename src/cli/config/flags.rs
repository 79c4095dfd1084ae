//! The flags of `serve` that stand over keys of the configuration file. Their values are read and
//! checked with the file's, so here they are text.

/// One flag for each key that may be seen by other users of the machine; passwords stay in the file.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Options over the configuration file")]
pub struct Flags {
    /// Where devices connect; `:PORT` for all addresses [default: :9090]
    #[arg(long, value_name = "IP:PORT")]
    addr: Option<String>,
    /// Where app servers post [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    http_addr: Option<String>,
    /// The certificate chain for devices [default: made at first start]
    #[arg(long, value_name = "FILE")]
    cert_pem_file: Option<String>,
    /// Its private key
    #[arg(long, value_name = "FILE")]
    key_pem_file: Option<String>,
    /// The certificate chain of the HTTP API [default: none, plain HTTP]
    #[arg(long, value_name = "FILE")]
    http_cert_pem_file: Option<String>,
    /// Its private key
    #[arg(long, value_name = "FILE")]
    http_key_pem_file: Option<String>,
    /// Whether devices are given tickets, by which they resume [default: true]
    #[arg(long, value_name = "BOOL")]
    tls_tickets: Option<String>,
    /// Whether a key exchange that quantum computers will not break is taken [default: false]
    #[arg(long, value_name = "BOOL")]
    tls_post_quantum: Option<String>,
    /// Whether idle devices on TLS 1.3 are kept in few bytes, by a record layer of our own [default: true]
    #[arg(long, value_name = "BOOL")]
    tls_slim: Option<String>,
    /// How long after the last exchange a device is pinged [default: 5m]
    #[arg(long, value_name = "DURATION")]
    ping_interval: Option<String>,
    /// The longest silence that a device on wire 1 is granted [default: 2h]
    #[arg(long, value_name = "DURATION")]
    keepalive_max: Option<String>,
    /// How long a device may take to answer [default: 30s]
    #[arg(long, value_name = "DURATION")]
    exchange_timeout: Option<String>,
    /// How long a whole request may take to arrive [default: 10s]
    #[arg(long, value_name = "DURATION")]
    http_read_timeout: Option<String>,
    /// How long an answer may take to be taken [default: 10s]
    #[arg(long, value_name = "DURATION")]
    http_write_timeout: Option<String>,
    /// The name in the certificate that devices check [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    delivery_domain: Option<String>,
    /// Where devices are told to connect [default: the delivery domain at the port of --addr]
    #[arg(long, value_name = "HOST:PORT,…")]
    delivery_hosts: Option<String>,
    /// Where the queue lives [default: $STATE_DIRECTORY, or lomiri-push in the XDG state folder]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Device loops [default: one a core]
    #[arg(long, value_name = "NUMBER")]
    shards: Option<String>,
    /// How devices prove who they are: `required`, by a credential, or `open`, not at all [default: required]
    #[arg(long, value_name = "MODE")]
    device_auth: Option<String>,
    /// Where enrolled devices reach the HTTP API [default: what http_addr and its certificate tell]
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// Messages a minute to one token; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    token_rate_per_minute: Option<String>,
    /// Messages at once to one token [default: 100]
    #[arg(long, value_name = "NUMBER")]
    token_burst: Option<String>,
    /// Messages a minute for one app; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    app_rate_per_minute: Option<String>,
    /// Messages at once for one app [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    app_burst: Option<String>,
    /// Messages a minute to one user; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    user_rate_per_minute: Option<String>,
    /// Messages at once to one user [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    user_burst: Option<String>,
    /// Handshakes of devices at once from one address [default: 256]
    #[arg(long, value_name = "NUMBER")]
    handshakes_per_address_max: Option<String>,
    /// Handshakes of devices at once from all [default: 1024]
    #[arg(long, value_name = "NUMBER")]
    handshakes_max: Option<String>,
    /// Wrong credentials a minute from one address [default: 60]
    #[arg(long, value_name = "NUMBER")]
    auth_failures_per_minute: Option<String>,
    /// Wrong credentials at once from one address [default: 120]
    #[arg(long, value_name = "NUMBER")]
    auth_failures_burst: Option<String>,
    /// Proxies before the API that are believed, addresses and networks [default: none]
    #[arg(long, value_name = "NETWORK,…")]
    trusted_proxies: Option<String>,
    /// For how long it is kept what became of messages that were sent through /v1 [default: 24h]
    #[arg(long, value_name = "DURATION")]
    state_retention: Option<String>,
    /// Of how many messages at most [default: 100000]
    #[arg(long, value_name = "NUMBER")]
    state_rows_max: Option<String>,
    /// Pending messages of one app on one device [default: 100]
    #[arg(long, value_name = "NUMBER")]
    max_notifications_per_app: Option<String>,
    /// The size of a message's payload [default: 4096]
    #[arg(long, value_name = "BYTES")]
    payload_bytes_max: Option<String>,
    /// The size of a request's body [default: 6144]
    #[arg(long, value_name = "BYTES")]
    body_bytes_max: Option<String>,
    /// Pending messages of one user, on all devices together [default: 20000]
    #[arg(long, value_name = "NUMBER")]
    user_messages_max: Option<String>,
    /// Messages in the whole queue [default: 1000000]
    #[arg(long, value_name = "NUMBER")]
    queue_messages_max: Option<String>,
    /// Bytes of rows in the whole queue [default: 2147483648]
    #[arg(long, value_name = "BYTES")]
    queue_bytes_max: Option<String>,
    /// Below this much free disk no message is taken [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    disk_free_bytes_min: Option<String>,
    /// Connections of devices [default: as many as descriptors allow]
    #[arg(long, value_name = "NUMBER")]
    connections_max: Option<String>,
}

impl Flags {
    /// Those by which a command finds a running server.
    pub fn of_server(http_addr: Option<String>, data_dir: Option<String>) -> Flags {
        Flags { http_addr, data_dir, ..Flags::default() }
    }

    /// The flags that were given, as the keys they stand for and their values.
    pub fn given(self) -> impl Iterator<Item = (&'static str, String)> {
        let flags = [
            ("addr", self.addr),
            ("http_addr", self.http_addr),
            ("cert_pem_file", self.cert_pem_file),
            ("key_pem_file", self.key_pem_file),
            ("http_cert_pem_file", self.http_cert_pem_file),
            ("http_key_pem_file", self.http_key_pem_file),
            ("tls_tickets", self.tls_tickets),
            ("tls_post_quantum", self.tls_post_quantum),
            ("tls_slim", self.tls_slim),
            ("ping_interval", self.ping_interval),
            ("keepalive_max", self.keepalive_max),
            ("exchange_timeout", self.exchange_timeout),
            ("http_read_timeout", self.http_read_timeout),
            ("http_write_timeout", self.http_write_timeout),
            ("delivery_domain", self.delivery_domain),
            ("delivery_hosts", self.delivery_hosts),
            ("data_dir", self.data_dir),
            ("shards", self.shards),
            ("device_auth", self.device_auth),
            ("api_url", self.api_url),
            ("token_rate_per_minute", self.token_rate_per_minute),
            ("token_burst", self.token_burst),
            ("app_rate_per_minute", self.app_rate_per_minute),
            ("app_burst", self.app_burst),
            ("user_rate_per_minute", self.user_rate_per_minute),
            ("user_burst", self.user_burst),
            ("handshakes_per_address_max", self.handshakes_per_address_max),
            ("handshakes_max", self.handshakes_max),
            ("auth_failures_per_minute", self.auth_failures_per_minute),
            ("auth_failures_burst", self.auth_failures_burst),
            ("trusted_proxies", self.trusted_proxies),
            ("state_retention", self.state_retention),
            ("state_rows_max", self.state_rows_max),
            ("max_notifications_per_app", self.max_notifications_per_app),
            ("payload_bytes_max", self.payload_bytes_max),
            ("body_bytes_max", self.body_bytes_max),
            ("user_messages_max", self.user_messages_max),
            ("queue_messages_max", self.queue_messages_max),
            ("queue_bytes_max", self.queue_bytes_max),
            ("disk_free_bytes_min", self.disk_free_bytes_min),
            ("connections_max", self.connections_max),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key, value?)))
    }
}
