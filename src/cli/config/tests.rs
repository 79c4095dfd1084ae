//! The configuration as operators meet it: what is taken, what is refused, and in which words.

use std::collections::BTreeSet;

use clap::{Args, FromArgMatches};

use super::*;
use crate::queue::Rate;

const SAMPLE: &str = include_str!("../../../lomiri-push.toml");

fn around() -> Surroundings {
    Surroundings {
        cores: 4,
        descriptors: 20_000,
        host_name: "push.example.org".into(),
        state_folder: Some("/var/lib/lomiri-push".into()),
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    read_with_flags(text, &[])
}

fn read_with_flags(text: &str, flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut settings = Settings::from_toml(Path::new("/etc/push.toml"), text)?;
    for (key, value) in flags {
        settings.set_flag(key, (*value).to_owned());
    }
    Config::read(&mut settings, &around())
}

fn complaint(text: &str, flags: &[(&str, &str)]) -> String {
    match read_with_flags(text, flags) {
        Ok(_) => panic!("{text:?} with {flags:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

/// The sample with every key switched on.
fn sample_in_full() -> String {
    let is_key = |rest: &str| rest.starts_with(|char: char| char.is_ascii_lowercase());
    let switched_on = |line: &'static str| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line);
    SAMPLE.lines().map(switched_on).collect::<Vec<_>>().join("\n")
}

/// What the sample shows as the default of a key, as one writes it behind a flag.
fn default_in_sample(key: &str) -> String {
    let line = SAMPLE.lines().find_map(|line| line.strip_prefix(&format!("#{key} = ")));
    line.unwrap_or_default().replace(['"', '_'], "")
}

#[test]
fn the_sample_changes_nothing_as_it_stands() {
    assert_eq!(read(SAMPLE).expect("valid"), read("").expect("valid"));
}

#[test]
fn the_sample_shows_every_key_with_its_default() {
    let mut settings = Settings::from_toml(Path::new("/sample"), &sample_in_full()).expect("TOML");
    let shown = Config::read(&mut settings, &around()).expect("valid");
    let without_meaning = ["broker_queue_size", "session_queue_size"];
    let known: BTreeSet<&str> = settings.known().filter(|key| !without_meaning.contains(key)).collect();
    assert_eq!(settings.keys().collect::<BTreeSet<_>>(), known);

    let examples = Config {
        certificate: shown.certificate.clone(),
        http_certificate: shown.http_certificate.clone(),
        delivery_hosts: vec!["push.example.org:9090".into()],
        data_dir: shown.data_dir.clone(),
        stats: shown.stats.clone(),
        api_url: Some("https://push.example.org:8080".into()),
        rates: Rates::STRANGERS,
        connections_max: 19_000,
        ..read("").expect("valid")
    };
    assert_eq!(shown, examples);
    assert_eq!(shown.data_dir.path(), Path::new("/var/lib/lomiri-push"));
}

#[test]
fn every_value_is_read_from_the_file() {
    let config = read(
        r#"
        addr = "127.0.0.1:0"
        http_addr = "[::1]:80"
        cert_pem_file = "tls/cert.pem"
        key_pem_file = "/tls/key.pem"
        ping_interval = "500ms"
        keepalive_max = "30m"
        exchange_timeout = "0.5s"
        http_read_timeout = "1m30s"
        delivery_domain = "push.local"
        delivery_hosts = ["a.example:1", "[::1]:2", "10.0.0.1:3"]
        data_dir = "data"
        stats_user = "ops"
        stats_password = "hunter2"
        payload_bytes_max = 2_048
        "#,
    )
    .expect("valid");
    assert_eq!(config.addr, "127.0.0.1:0".parse().expect("an address"));
    assert_eq!(config.http_addr, "[::1]:80".parse().expect("an address"));
    let certificate = config.certificate.expect("given");
    assert_eq!(certificate.chain.path(), Path::new("/etc/tls/cert.pem"));
    assert_eq!(certificate.key.path(), Path::new("/tls/key.pem"));
    assert_eq!(config.ping_interval, Duration::from_millis(500));
    assert_eq!(config.keepalive_max, Duration::from_secs(1_800));
    assert_eq!(config.exchange_timeout, Duration::from_millis(500));
    assert_eq!(config.http_read_timeout, Duration::from_secs(90));
    assert_eq!(config.delivery_domain, "push.local");
    assert_eq!(config.delivery_hosts, ["a.example:1", "[::1]:2", "10.0.0.1:3"]);
    assert_eq!(config.data_dir.path(), Path::new("/etc/data"));
    assert_eq!(config.stats.expect("given").password, Secret("hunter2".into()));
    assert_eq!(config.payload_bytes_max, 2048);
}

#[test]
fn rates_hold_where_credentials_do_and_bursts_cover_what_may_be_pending() {
    let rates = |text: &str| read(text).expect("valid").rates;
    assert_eq!(rates("device_auth = \"open\""), Rates::default());
    assert_eq!(rates("device_auth = \"required\""), Rates::STRANGERS);
    assert_eq!(rates(""), Rates::STRANGERS);
    let strict = rates("device_auth = \"open\"\nuser_rate_per_minute = 5\nmax_notifications_per_app = 2000");
    let user = Some(Rate { per_minute: 5, burst: 2000 });
    assert_eq!(strict, Rates { user, ..Rates::default() });
    let lax = rates("device_auth = \"required\"\napp_rate_per_minute = 0\ntoken_burst = 200");
    let token = Some(Rate { per_minute: 60, burst: 200 });
    assert_eq!(lax, Rates { token, app: None, ..Rates::STRANGERS });
}

#[test]
fn devices_are_told_of_an_api_that_they_can_trust() {
    let url = |text: &str| read(text).expect("valid").api_url;
    assert_eq!(url("").as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(url("http_addr = \"127.0.0.1:0\""), None);
    assert_eq!(url("http_addr = \":8080\""), None);
    let certificate = "http_cert_pem_file = \"c\"\nhttp_key_pem_file = \"k\"";
    assert_eq!(url(certificate).as_deref(), Some("https://push.example.org:8080"));
    assert_eq!(url("api_url = \"https://a/push\"").as_deref(), Some("https://a/push"));
}

#[test]
fn addresses_have_short_forms() {
    let addr = |text: &str| read(&format!("addr = \"{text}\"")).expect("valid").addr.to_string();
    assert_eq!(addr(":9090"), "[::]:9090");
    assert_eq!(addr("localhost:9090"), "127.0.0.1:9090");
}

#[test]
fn without_a_place_for_data_it_must_be_given() {
    let around = Surroundings { state_folder: None, ..around() };
    let error = Config::read(&mut Settings::default(), &around).expect_err("nowhere to go").to_string();
    assert_eq!(error, "data_dir: must be given where STATE_DIRECTORY, XDG_STATE_HOME and HOME are not set");
}

#[test]
fn flags_stand_over_the_file() {
    let flags = [
        ("addr", ":1"),
        ("delivery_hosts", "a:1,b:2"),
        ("data_dir", "here"),
        ("shards", "2"),
        ("ping_interval", "1s"),
    ];
    let config =
        read_with_flags("addr = \"nonsense\"\nshards = 3\ndata_dir = \"/there\"", &flags).expect("valid");
    assert_eq!(config.addr, "[::]:1".parse().expect("an address"));
    assert_eq!(config.delivery_hosts, ["a:1", "b:2"]);
    assert_eq!(config.data_dir.path(), Path::new("here"));
    assert_eq!(config.shards, 2);
    assert_eq!(config.ping_interval, Duration::from_secs(1));
}

#[test]
fn what_cannot_be_used_is_named_with_key_value_and_file() {
    const ADDRESS: &str =
        "must be an IP address and a port, such as \"127.0.0.1:8080\", or \":8080\" for all addresses";
    const DURATION: &str = "must be a duration in quotes, such as \"500ms\", \"0.5s\" or \"1m30s\"";
    const NAME: &str = "must be a host name, such as \"push.example.org\"";
    const HOSTS: &str = "must be a list of 1 to 64 HOST:PORT, such as [\"push.example.org:9090\"]";
    const URL: &str =
        "not the URL of an HTTP API: write it like https://push.example.org or http://127.0.0.1:8080";
    let cases = [
        ("adr = \":1\"", "adr = \":1\": unknown key"),
        ("[serve]\naddr = \":1\"", "serve = {…}: unknown key"),
        ("stats = { password = \"hunter2\" }", "stats = {…}: unknown key"),
        ("addr = 9090", &format!("addr = 9090: {ADDRESS}")),
        ("addr = \":70000\"", &format!("addr = \":70000\": {ADDRESS}")),
        ("addr = \"push.local:1\"", &format!("addr = \"push.local:1\": {ADDRESS}")),
        ("http_addr = \"1.2.3.4\"", &format!("http_addr = \"1.2.3.4\": {ADDRESS}")),
        ("ping_interval = \"0s\"", "ping_interval = \"0s\": must be from 10ms to 24h0m0s"),
        ("ping_interval = 10", &format!("ping_interval = 10: {DURATION}")),
        ("exchange_timeout = \"0\"", "exchange_timeout = \"0\": must be from 10ms to 1h0m0s"),
        (
            "exchange_timeout = '5'",
            "exchange_timeout = '5': not a duration: write it like 500ms, 0.5s or 1m30s",
        ),
        ("http_read_timeout = true", &format!("http_read_timeout = true: {DURATION}")),
        ("http_write_timeout = \"25h\"", "http_write_timeout = \"25h\": must be from 10ms to 1h0m0s"),
        ("cert_pem_file = \"c\"", "cert_pem_file = \"c\": needs key_pem_file as well"),
        ("key_pem_file = \"k\"", "key_pem_file = \"k\": needs cert_pem_file as well"),
        ("http_cert_pem_file = \"c\"", "http_cert_pem_file = \"c\": needs http_key_pem_file as well"),
        ("data_dir = \"\"", "data_dir = \"\": must be 1 to 1024 bytes of text on one line"),
        ("data_dir = \"/etc/passwd\"", "data_dir = \"/etc/passwd\": is not a folder"),
        ("data_dir = \"/etc/passwd/x\"", "data_dir = \"/etc/passwd/x\": is not a folder"),
        ("delivery_domain = \"a b\"", &format!("delivery_domain = \"a b\": {NAME}")),
        ("delivery_hosts = \"a:1\"", &format!("delivery_hosts = \"a:1\": {HOSTS}")),
        ("delivery_hosts = []", &format!("delivery_hosts = []: {HOSTS}")),
        ("delivery_hosts = [\"a:0\"]", &format!("delivery_hosts = [\"a:0\"]: {HOSTS}")),
        ("delivery_hosts = [\"a:1\", 2]", &format!("delivery_hosts = [\"a:1\", 2]: {HOSTS}")),
        ("shards = 0", "shards = 0: must be a whole number from 1 to 256"),
        ("shards = 1.5", "shards = 1.5: must be a whole number from 1 to 256"),
        ("shards = \"1\"", "shards = \"1\": must be a whole number from 1 to 256"),
        ("payload_bytes_max = 6001", "payload_bytes_max = 6001: must be a whole number from 1 to 6000"),
        (
            "payload_bytes_max = 5000\nbody_bytes_max = 4999",
            "payload_bytes_max = 5000: payload_bytes_max (5000) is above body_bytes_max (4999)",
        ),
        (
            "body_bytes_max = 100",
            "body_bytes_max = 100: payload_bytes_max (4096) is above body_bytes_max (100)",
        ),
        (
            "queue_bytes_max = 4095",
            "queue_bytes_max = 4095: payload_bytes_max (4096) is above queue_bytes_max (4095)",
        ),
        (
            "disk_free_bytes_min = 67108863",
            "disk_free_bytes_min = 67108863: must be a whole number from 67108864 to 9223372036854775807",
        ),
        (
            "connections_max = 19346",
            "connections_max = 19346: the limit of 20000 open files allows for 19345",
        ),
        ("device_auth = \"none\"", "device_auth = \"none\": must be \"required\" or \"open\""),
        ("api_url = \"push.example.org\"", &format!("api_url = \"push.example.org\": {URL}")),
        ("token_burst = 99", "token_burst = 99: must be a whole number from 100 to 60000000"),
        ("state_rows_max = 0", "state_rows_max = 0: must be a whole number from 1 to 100000000"),
        ("stats_user = \"a:b\"", "stats_user = \"a:b\": must not contain a colon"),
        ("stats_user = \"a\"", "stats_user = \"a\": needs stats_password as well"),
        ("stats_password = \"hunter2\"", "stats_password = (hidden): needs stats_user as well"),
        ("stat_password = \"hunter2\"", "stat_password = (hidden): unknown key"),
    ];
    for (text, expected) in cases {
        assert_eq!(complaint(text, &[]), format!("/etc/push.toml:1: {expected}"), "{text}");
    }
}

#[test]
fn the_line_of_a_value_is_named() {
    assert!(complaint("# a\n\nshards = 0", &[]).starts_with("/etc/push.toml:3: shards = 0: "));
}

#[test]
fn a_bad_flag_is_named_instead_of_the_file() {
    let problem = "must be from 10ms to 24h0m0s";
    let text = "ping_interval = \"1s\"";
    assert_eq!(complaint(text, &[("ping_interval", "0s")]), format!("--ping-interval 0s: {problem}"));
}

#[test]
fn every_complaint_is_one_short_line() {
    let long = format!("addr = \"{}\"", "x".repeat(10_000));
    for text in ["addr = \"\"\"a\nb\"\"\"", "addr = [1,\n2]", "addr = \"\\u0007\"", &long, "a = \n", "="] {
        let complaint = complaint(text, &[]);
        assert!(!complaint.contains(char::is_control) && complaint.len() < 300, "{complaint:?}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    let complaint = complaint("shards = 1\nshards = 2", &[]);
    assert!(complaint.starts_with("/etc/push.toml:2: not TOML: "), "{complaint}");
}

#[test]
fn an_unreadable_file_is_named() {
    let error = Config::load(Some(Path::new("/no/such.toml")), Flags::default(), &around());
    let line = error.expect_err("no such file").to_string();
    assert_eq!(line, "/no/such.toml: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn sizes_of_queues_that_do_not_exist_here_are_taken_with_a_warning() {
    let config = read("session_queue_size = 10\nbroker_queue_size = 100").expect("valid");
    let lines = [
        "/etc/push.toml:1: session_queue_size = 10: has no meaning here",
        "/etc/push.toml:2: broker_queue_size = 100: has no meaning here",
    ];
    assert_eq!(config.warnings, lines);
}

#[test]
fn a_password_hides_in_debug() {
    let config = read("stats_user = \"ops\"\nstats_password = \"hunter2\"").expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn every_key_but_credentials_has_a_flag_that_tells_its_default() {
    let mut settings = Settings::default();
    Config::read(&mut settings, &around()).expect("valid");
    let file_only = ["broker_queue_size", "session_queue_size", "stats_password", "stats_user"];
    let expected: BTreeSet<&str> = settings.known().filter(|key| !file_only.contains(key)).collect();

    let command = Flags::augment_args(clap::Command::new("serve"));
    let ids: Vec<&str> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
    assert_eq!(ids.iter().copied().collect::<BTreeSet<_>>(), expected);

    for argument in command.get_arguments() {
        let help = argument.get_help().expect("each flag says what it is for").to_string();
        let shown = help.split_once("[default: ").map(|(_, rest)| rest.trim_end_matches(']'));
        let default = default_in_sample(argument.get_id().as_str());
        if shown.is_some_and(|shown| shown.starts_with(|char: char| char.is_ascii_digit() || char == ':')) {
            assert_eq!(shown, Some(default.as_str()), "{help}");
        }
    }

    let arguments = ids.iter().map(|id| format!("--{}=x", id.replace('_', "-")));
    let matches = command.clone().get_matches_from(["serve".to_owned()].into_iter().chain(arguments));
    let flags = Flags::from_arg_matches(&matches).expect("all are optional");
    assert_eq!(flags.given().map(|(key, _)| key).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn addresses_are_limited_and_proxies_believed_as_it_says() {
    let default = read("").expect("valid").peers;
    assert_eq!(default, PeerOptions::default());
    let text = "trusted_proxies = ['10.0.0.0/8', '2001:db8::1']\nhandshakes_max = 7\nauth_failures_burst = 9";
    let peers = read(text).expect("valid").peers;
    let trusted_proxies = ["10.0.0.0/8", "2001:db8::1"].map(|text| text.parse().expect("a network")).to_vec();
    let failures = Rate { burst: 9, ..default.failures };
    assert_eq!(peers, PeerOptions { handshakes_max: 7, failures, trusted_proxies, ..default });
    for bad in ["trusted_proxies = '10.0.0.0/8'", "trusted_proxies = ['proxy']", "handshakes_max = 0"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
