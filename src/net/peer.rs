//! Who is at the other end of a client's connection.

use std::{fmt, io, net::SocketAddr};

use tokio::net::UnixStream;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It came over TCP, from this address; or a proxy before us said that it did.
    Tcp(SocketAddr),
    /// It came through a Unix socket; `None` if the kernel does not say whose process it is.
    Unix(Option<PeerCredentials>),
}

/// Whose process is at the other end of a Unix socket (`SO_PEERCRED`), as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl Peer {
    /// The peer of a Unix socket.
    pub fn of_unix(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        Self::Unix(credentials.map(|process| PeerCredentials { uid: process.uid(), gid: process.gid() }))
    }

    /// The address; none for a Unix socket.
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    /// As PostgreSQL's log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(_) => f.write_str("[local]"),
        }
    }
}

impl PeerCredentials {
    /// The user's name in the system's user database; `None` if it has none. The database may be far away (LDAP), so
    /// it is asked on a thread that may block.
    pub async fn user_name(self) -> io::Result<Option<String>> {
        let uid = nix::unistd::Uid::from_raw(self.uid);
        let found = tokio::task::spawn_blocking(move || nix::unistd::User::from_uid(uid)).await;
        let user = found.map_err(io::Error::other)?.map_err(io::Error::from)?;
        Ok(user.map(|user| user.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_knows_who_is_there() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let Peer::Unix(Some(credentials)) = Peer::of_unix(&ours) else { panic!("no credentials") };
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!(credentials, PeerCredentials { uid, gid });
        assert!(credentials.user_name().await.unwrap().is_some());
        let nobody = PeerCredentials { uid: u32::MAX - 7, gid };
        assert_eq!(nobody.user_name().await.unwrap(), None);
    }
}
