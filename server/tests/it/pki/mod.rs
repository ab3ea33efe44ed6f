//! Certificates made for one test, and a client that speaks TLS.

#![allow(dead_code)] // Each test program uses its part.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use dynamo_metrics_server::{RunningServer, Server, StartError};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::{PATIENCE, up};
use crate::directory::Directory;

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// A CA.
pub(crate) struct Authority {
    pub(crate) cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate").pem();
        Self { cert, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn server(&self) -> Identity {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        self.identity(vec![SanType::DnsName("localhost".try_into().expect("a name"))], usage, 4000)
    }

    pub(crate) fn client(&self, sans: Vec<SanType>) -> Identity {
        self.identity(sans, ExtendedKeyUsagePurpose::ClientAuth, 4000)
    }

    pub(crate) fn expired_client(&self) -> Identity {
        self.identity(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth, 2000)
    }

    fn identity(
        &self,
        sans: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        until_year: i32,
    ) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        params.extended_key_usages = vec![usage];
        params.not_after = date_time_ymd(until_year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { cert, key: key.serialize_pem() }
    }
}

/// The common certificates of tests: two CAs, of which only one is ours, and a server's certificate.
pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) ours: Authority,
    pub(crate) theirs: Authority,
}

/// The least configuration with TLS.
pub(crate) const TLS: &str =
    "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            directory: Directory::new(),
            ours: Authority::new("ours"),
            theirs: Authority::new("theirs"),
        };
        world.renew();
        world.directory.write("ca.crt", &world.ours.cert);
        world
    }

    /// Gives the server another certificate, key first as certbot does not.
    pub(crate) fn renew(&self) {
        let Identity { cert, key } = self.ours.server();
        self.directory.write("server.key", &key);
        self.directory.write("server.crt", &cert);
    }

    pub(crate) fn spawn(&self, config: &str) -> RunningServer {
        self.try_spawn(config).unwrap_or_else(|error| panic!("{config}\n{error}"))
    }

    pub(crate) fn try_spawn(&self, config: &str) -> Result<RunningServer, StartError> {
        let file = self.directory.write("web.yml", config);
        Server::builder().web_config_file(file).exposition(up).spawn()
    }

    /// A client that trusts our CA and shows what it is given.
    pub(crate) fn client(&self, identity: Option<&Identity>) -> ClientConfig {
        self.client_with(identity, ring::default_provider(), rustls::ALL_VERSIONS)
    }

    pub(crate) fn client_with(
        &self,
        identity: Option<&Identity>,
        provider: CryptoProvider,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        client(&self.ours.cert, identity, provider, versions)
    }
}

pub(crate) fn client(
    ca: &str,
    identity: Option<&Identity>,
    provider: CryptoProvider,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a CA")).expect("a CA");
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![cert], key).expect("a pair")
        }
    }
}

pub(crate) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn connect(address: SocketAddr, config: &ClientConfig) -> TlsClient {
    let tcp = TcpStream::connect(address).expect("the server listens");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config.clone()), name).expect("a session");
    StreamOwned::new(session, tcp)
}

/// One request over TLS: its answer, or why there was none.
pub(crate) fn get(
    address: SocketAddr,
    config: &ClientConfig,
    head: &str,
) -> Result<String, String> {
    let mut client = connect(address, config);
    let request = format!("GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{head}\r\n");
    let mut answer = Vec::new();
    client
        .write_all(request.as_bytes())
        .and_then(|()| client.read_to_end(&mut answer))
        .map_err(|error| error.to_string())?;
    String::from_utf8(answer).map_err(|error| error.to_string())
}

/// The certificate that a server shows.
pub(crate) fn shown(client: &TlsClient) -> Vec<u8> {
    client.conn.peer_certificates().expect("after the handshake")[0].to_vec()
}
