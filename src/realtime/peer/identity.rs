//! A door's certificate among doors: made at its start, known to the others by what they read at the broker.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::card::{PeerCard, Thumbprint, thumbprint};
use crate::realtime::broker::redis::PeerAddress;

/// What is spoken between doors.
const ALPN: &[u8] = b"doorway-peer/1";

/// Every certificate has this name, which nobody looks at.
pub const NAME: &str = "peer.doorway.internal";

/// This door's key and certificate, and what it tells the others.
pub struct PeerIdentity {
    card: PeerCard,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl PeerIdentity {
    /// A new one.
    ///
    /// # Errors
    /// Why not.
    pub fn new(address: PeerAddress) -> Result<PeerIdentity, String> {
        let made = || {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
            Ok((certificate.der().clone(), key.serialize_der()))
        };
        let (certificate, key) = made().map_err(|error: rcgen::Error| error.to_string())?;
        let key = PrivateKeyDer::try_from(key).map_err(str::to_owned)?;
        let card = PeerCard { address, certificate: thumbprint(&certificate) };
        Ok(PeerIdentity { card, certificate, key, provider: Arc::new(aws_lc_rs::default_provider()) })
    }

    pub fn card(&self) -> &PeerCard {
        &self.card
    }

    /// For the way to the door that shows this certificate, and to no other.
    ///
    /// # Errors
    /// Why not.
    pub fn client(&self, server: Thumbprint) -> Result<Arc<ClientConfig>, Error> {
        let pinned = Pinned { server, algorithms: self.provider.signature_verification_algorithms };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// For those who come: each has to show a certificate, and that it has the key. Whose that is has to be looked up.
    ///
    /// # Errors
    /// Why not.
    pub fn server(&self) -> Result<Arc<ServerConfig>, Error> {
        let shown = Shown { algorithms: self.provider.signature_verification_algorithms };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(shown))
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A certificate is shown each time.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// Takes one certificate, and no other.
#[derive(Debug)]
struct Pinned {
    server: Thumbprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if thumbprint(end_entity) == self.server {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes any certificate whose key the client has.
#[derive(Debug)]
struct Shown {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Shown {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    fn door() -> PeerIdentity {
        PeerIdentity::new(PeerAddress::read("127.0.0.1:1").unwrap()).unwrap()
    }

    /// Whether `client` takes `server` for the door with this certificate; and whose the server took it for.
    async fn meets(client: &PeerIdentity, server: &PeerIdentity, pinned: Thumbprint) -> Option<Thumbprint> {
        let (near, far) = duplex(16 * 1024);
        let connector = TlsConnector::from(client.client(pinned).unwrap());
        let acceptor = TlsAcceptor::from(server.server().unwrap());
        let (connected, accepted) =
            tokio::join!(connector.connect(ServerName::try_from(NAME).unwrap(), near), acceptor.accept(far));
        connected.ok()?;
        Some(thumbprint(accepted.unwrap().get_ref().1.peer_certificates()?.first()?))
    }

    #[tokio::test]
    async fn each_knows_the_other_by_its_certificate() {
        let (one, other) = (door(), door());
        assert_eq!(meets(&one, &other, other.card().certificate).await, Some(one.card().certificate));
        assert_eq!(meets(&one, &other, one.card().certificate).await, None);
        assert_eq!(meets(&one, &other, door().card().certificate).await, None);
    }
}
