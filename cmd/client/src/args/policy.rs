//! The flags that make up a policy: what the server enforces before a request reaches the agent. They become fields of the
//! table `[policy]`; a list on the command line takes the place of the file's.

use std::path::PathBuf;

use clap::Args;
use runtime::config::Layers;

use super::{given, joined, path};

/// Who may call.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may call (enforced by the server)")]
pub(crate) struct CallerFlags {
    /// Where the visitors' passwords are.
    #[arg(
        long,
        value_name = "FILE",
        help = "Ask visitors for a password. Lines of the file: user:password, or :password for any user. Only salted \
                hashes leave this machine. ADIT_BASIC_AUTH holds one such line itself"
    )]
    basic_auth_file: Option<PathBuf>,
    /// Let in only this address or network (10.0.0.0/8); may be repeated
    #[arg(long, value_name = "NETWORK")]
    allow_ip: Vec<String>,
    /// Keep out this address or network, whatever --allow-ip says; may be repeated
    #[arg(long, value_name = "NETWORK")]
    deny_ip: Vec<String>,
    /// Send visitors without TLS to the same URL with it
    #[arg(long)]
    https_only: bool,
    /// Let in only what this sender of webhooks has signed: github, stripe, slack, shopify, or hmac
    #[arg(long, value_name = "PROVIDER")]
    verify_webhook: Option<String>,
    /// The sender's secret; further lines of the file are further secrets. The server gets them: it compares
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// How far the time in a signature may be off [default: 300]
    #[arg(long, value_name = "SECONDS")]
    webhook_tolerance: Option<String>,
    /// Keep nothing out: tell the service in X-Webhook-Verified
    #[arg(long)]
    webhook_report_only: bool,
    /// The field of the signature, for hmac alone [default: X-Signature]
    #[arg(long, value_name = "NAME")]
    webhook_header: Option<String>,
}

/// What is changed on the way.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests and responses (changed by the server)")]
pub(crate) struct TrafficFlags {
    /// Set a field of requests, 'Name: value'; may be repeated
    #[arg(long, value_name = "FIELD", value_parser = field)]
    request_header: Vec<String>,
    /// Remove a field of requests; may be repeated
    #[arg(long, value_name = "NAME")]
    remove_request_header: Vec<String>,
    /// Set a field of responses, 'Name: value'; may be repeated
    #[arg(long, value_name = "FIELD", value_parser = field)]
    response_header: Vec<String>,
    /// Remove a field of responses; may be repeated
    #[arg(long, value_name = "NAME")]
    remove_response_header: Vec<String>,
    /// Take this off the front of paths; others are answered 404
    #[arg(long, value_name = "PATH")]
    strip_prefix: Option<String>,
    /// Put this in front of paths, after --strip-prefix
    #[arg(long, value_name = "PATH")]
    add_prefix: Option<String>,
    /// Compress responses for visitors who take that
    #[arg(long)]
    compress: bool,
    /// Tell search engines to stay away
    #[arg(long)]
    no_robots: bool,
    /// Pages of which origins may read.
    #[arg(
        long,
        value_name = "ORIGIN",
        help = "CORS: let pages of this origin read responses, https://app.example or *; may be repeated"
    )]
    cors_origin: Vec<String>,
    /// CORS: with this method too, beside GET, HEAD and POST; may be repeated
    #[arg(long, value_name = "METHOD")]
    cors_method: Vec<String>,
    /// CORS: sending this field; may be repeated
    #[arg(long, value_name = "NAME")]
    cors_header: Vec<String>,
    /// CORS: reading this field of responses; may be repeated
    #[arg(long, value_name = "NAME")]
    cors_expose: Vec<String>,
    /// CORS: with cookies and passwords
    #[arg(long)]
    cors_credentials: bool,
    /// CORS: remembering for so long that they may
    #[arg(long, value_name = "SECONDS")]
    cors_max_age: Option<String>,
}

impl CallerFlags {
    #[rustfmt::skip]
    pub(super) fn layers(&self, layers: Layers) -> Layers {
        layers
            .flag("policy.basic_auth_file", "--basic-auth-file", path(self.basic_auth_file.as_ref()))
            .flag("policy.allow_ips", "--allow-ip", joined(&self.allow_ip, ","))
            .flag("policy.deny_ips", "--deny-ip", joined(&self.deny_ip, ","))
            .flag("policy.https_only", "--https-only", given(self.https_only))
            .flag("policy.webhook.provider", "--verify-webhook", self.verify_webhook.as_ref())
            .flag("policy.webhook.secret_file", "--webhook-secret-file", path(self.webhook_secret_file.as_ref()))
            .flag("policy.webhook.tolerance", "--webhook-tolerance", self.webhook_tolerance.as_ref())
            .flag("policy.webhook.report_only", "--webhook-report-only", given(self.webhook_report_only))
            .flag("policy.webhook.header", "--webhook-header", self.webhook_header.as_ref())
    }
}

impl TrafficFlags {
    #[rustfmt::skip]
    pub(super) fn layers(&self, layers: Layers) -> Layers {
        // Values of fields may have commas, but no line ends.
        layers
            .flag("policy.request_headers.set", "--request-header", joined(&self.request_header, "\n"))
            .flag("policy.request_headers.remove", "--remove-request-header", joined(&self.remove_request_header, ","))
            .flag("policy.response_headers.set", "--response-header", joined(&self.response_header, "\n"))
            .flag("policy.response_headers.remove", "--remove-response-header", joined(&self.remove_response_header, ","))
            .flag("policy.strip_prefix", "--strip-prefix", self.strip_prefix.as_ref())
            .flag("policy.add_prefix", "--add-prefix", self.add_prefix.as_ref())
            .flag("policy.compress", "--compress", given(self.compress))
            .flag("policy.no_robots", "--no-robots", given(self.no_robots))
            .flag("policy.cors.origins", "--cors-origin", joined(&self.cors_origin, ","))
            .flag("policy.cors.methods", "--cors-method", joined(&self.cors_method, ","))
            .flag("policy.cors.headers", "--cors-header", joined(&self.cors_header, ","))
            .flag("policy.cors.expose", "--cors-expose", joined(&self.cors_expose, ","))
            .flag("policy.cors.credentials", "--cors-credentials", given(self.cors_credentials))
            .flag("policy.cors.max_age", "--cors-max-age", self.cors_max_age.as_ref())
    }
}

/// A field as one line: what ends a line would be read as another field.
fn field(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("a field is one line without control characters".to_owned());
    }
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => Ok(format!("{name}: {}", value.trim())),
        _ => Err("write 'Name: value'".to_owned()),
    }
}
