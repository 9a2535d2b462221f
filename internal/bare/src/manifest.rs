//! What a Bare server says of itself (BareServer.md).

use std::fs;

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::body::{Body, full};
use crate::config::{Config, Maintainer};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    versions: [&'static str; 3],
    language: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_usage: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maintainer: Option<&'a Maintainer>,
    project: Project,
}

#[derive(Serialize)]
struct Project {
    name: &'static str,
    description: &'static str,
    version: &'static str,
}

pub(crate) fn response(config: &Config) -> Response<Body> {
    let manifest = Manifest {
        versions: ["v1", "v2", "v3"],
        language: "Rust",
        memory_usage: memory(),
        maintainer: config.maintainer.as_ref(),
        project: Project {
            name: "adit-bare",
            description: env!("CARGO_PKG_DESCRIPTION"),
            version: env!("CARGO_PKG_VERSION"),
        },
    };
    let mut json = Vec::new();
    let mut writer = Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(b"\t"));
    manifest
        .serialize(&mut writer)
        .expect("strings and a finite number are JSON");
    let mut response = Response::new(full(json));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// What this process holds, in MB with two decimals, where the system tells.
fn memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some((f64::from(kib) / 1024.0 * 100.0).round() / 100.0)
}
