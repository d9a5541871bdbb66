//! Unix sockets by folder and port, as PostgreSQL and libpq name them.

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

/// The longest path of a socket that the kernel takes, in bytes.
pub const SOCKET_PATH_MAX: usize = 107;

/// The path of the socket in this folder (`.s.PGSQL.<port>`). A folder that begins with `@` stands for Linux's
/// abstract namespace, which has no files: there the path begins with NUL instead.
pub fn socket_path(folder: &str, port: u16) -> PathBuf {
    let name = format!(".s.PGSQL.{port}");
    match folder.strip_prefix('@') {
        Some(rest) => PathBuf::from(format!("\0{rest}/{name}")),
        None => Path::new(folder).join(name),
    }
}

/// A Unix socket that listens; its file goes when it is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    /// What accepts; does not block.
    pub listener: UnixListener,
    /// None in the abstract namespace.
    _file: Option<SocketFile>,
}

impl UnixSocket {
    /// Listens in a folder. The file of a process that is gone is replaced; one that somebody answers at is left to
    /// him ([`io::ErrorKind::AddrInUse`]).
    pub fn bind(folder: &str, port: u16, mode: u32, backlog: i32) -> io::Result<Self> {
        let path = socket_path(folder, port);
        let is_file = !path.as_os_str().as_bytes().starts_with(b"\0");
        let address = socket2::SockAddr::unix(&path)?;
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let bound = match socket.bind(&address) {
            Err(error) if is_file && error.kind() == io::ErrorKind::AddrInUse => {
                remove_if_stale(&path, &address)?;
                socket.bind(&address)
            }
            bound => bound,
        };
        bound?;
        let file = is_file.then(|| SocketFile::of(path)).transpose()?;
        if let Some(file) = &file {
            // Before anybody can connect: nobody listens yet.
            fs::set_permissions(&file.path, fs::Permissions::from_mode(mode))?;
        }
        socket.listen(backlog)?;
        Ok(Self { listener: socket.into(), _file: file })
    }
}

/// Removes the socket file of a process that does not listen any more.
fn remove_if_stale(path: &Path, address: &socket2::SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "a file is there that is no socket"));
    }
    let caller = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    caller.set_nonblocking(true)?;
    match caller.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Slow to accept, but there.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            let what = format!("a socket is there, and whether anybody listens cannot be found out: {error}");
            Err(io::Error::new(io::ErrorKind::AddrInUse, what))
        }
        Ok(()) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

/// The file of a socket that we made.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let identity = Self::identity(&path)?;
        Ok(Self { path, identity })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else's may have taken its place.
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn bind(folder: &Path) -> io::Result<UnixSocket> {
        UnixSocket::bind(folder.to_str().unwrap(), 6432, 0o770, 8)
    }

    #[test]
    fn paths() {
        for (folder, path) in [
            ("/run/pg", "/run/pg/.s.PGSQL.6"),
            ("/run/pg/", "/run/pg/.s.PGSQL.6"),
            ("@x", "\0x/.s.PGSQL.6"),
            ("@/run/pg", "\0/run/pg/.s.PGSQL.6"),
        ] {
            assert_eq!(socket_path(folder, 6), Path::new(path));
        }
    }

    #[test]
    fn a_socket_is_made_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".s.PGSQL.6432");
        let socket = bind(folder.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o770);
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_socket_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".s.PGSQL.6432");
        // As a process leaves it that was killed.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = bind(folder.path()).unwrap();
        let refused = bind(folder.path()).unwrap_err();
        assert_eq!(refused.to_string(), "another process listens there");
        assert!(UnixStream::connect(&path).is_ok());
        // A successor's file is not removed by the predecessor.
        fs::remove_file(&path).unwrap();
        let successor = bind(folder.path()).unwrap();
        drop(socket);
        assert!(UnixStream::connect(&path).is_ok());
        drop(successor);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".s.PGSQL.6432");
        fs::write(&path, "precious").unwrap();
        assert!(bind(folder.path()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_abstract_namespace_has_no_files() {
        let name = format!("@pgsteer-test-{}", std::process::id());
        let socket = UnixSocket::bind(&name, 6432, 0o777, 8).unwrap();
        assert_eq!(UnixSocket::bind(&name, 6432, 0o777, 8).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(UnixSocket::bind(&name, 6432, 0o777, 8).is_ok());
    }
}
