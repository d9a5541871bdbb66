//! What the connection itself says of a client, before it proves anything.

pub use crate::tls::{ClientCertificate, EndPoint};

/// What carries a client's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Bytes as they are.
    #[default]
    Plain,
    /// TLS.
    Tls(Box<Secured>),
}

/// What is known of a connection over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secured {
    /// The client's certificate, if it showed one; it was checked against the authorities and the revocations.
    pub certificate: Option<ClientCertificate>,
    /// What a login over it can be bound to.
    pub end_point: Option<EndPoint>,
}

impl Transport {
    /// The client's certificate, if it showed one.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        match self {
            Self::Plain => None,
            Self::Tls(secured) => secured.certificate.as_ref(),
        }
    }

    /// What a login can be bound to.
    pub fn end_point(&self) -> Option<&EndPoint> {
        match self {
            Self::Plain => None,
            Self::Tls(secured) => secured.end_point.as_ref(),
        }
    }
}
