//! Which servers an agent believes: the machine's own list of authorities, and perhaps one more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The extra authority's file cannot be read or is no PEM.
    #[error(
        "cannot read certificates from {path}: {source}; a PEM file with CERTIFICATE blocks is wanted"
    )]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file has no certificate, or one that cannot be an authority.
    #[error("{path} has no usable certificate; a PEM file with CERTIFICATE blocks is wanted")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The machine has no list of authorities, and none was given.
    #[error(
        "this machine has no certificate authorities; install ca-certificates or give a CA file"
    )]
    NoRoots,
    /// The crypto library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Makes the TLS configuration of an agent: the authorities that the operating system trusts, and those in the PEM file
/// `ca_file` beside them. Reads files: make it once, not for each connection.
///
/// # Errors
/// The file is not usable, or there is no authority at all.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    // The provider is named, not taken from the process: what else is linked in must not change it.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A WebSocket upgrade is HTTP/1.1; a server that prefers h2 must not choose it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let unreadable = |source| TlsError::CaFile {
        path: path.to_owned(),
        source,
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(unreadable)?;
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 || ignored > 0 {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(())
}
