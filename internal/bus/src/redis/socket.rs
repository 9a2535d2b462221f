//! Sockets to Redis, opened here rather than by the library: so TLS needs no process-wide provider of cryptography.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::error::{StoreError, words};
use super::url::{Address, Tls};

/// Any socket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Opens a socket, with TLS where there is a connector.
pub(super) async fn open(
    address: &Address,
    tls: Option<&TlsConnector>,
) -> Result<Box<dyn Socket>, StoreError> {
    let io = |error: io::Error| {
        // A certificate that is not trusted will not become so by trying again.
        match error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>())
        {
            true => StoreError::Refused(format!("{address}: {}", words(&error.to_string()))),
            false => StoreError::Down(words(&error.to_string())),
        }
    };
    let (host, port) = match address {
        Address::Unix(path) => {
            return Ok(Box::new(UnixStream::connect(path).await.map_err(io)?));
        }
        Address::Tcp { host, port } => (host, *port),
    };
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(host.clone())
        .map_err(|_| StoreError::Refused(format!("{address}: no certificate can name that")))?;
    let stream = tls.connect(name, stream).await.map_err(io)?;
    Ok(Box::new(stream))
}

/// Reads the authorities to trust.
///
/// # Errors
/// What is wrong with them, in words.
pub(super) fn connector(tls: &Tls) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
    }
    if roots.is_empty() {
        return Err("no certificate authority is trusted".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
