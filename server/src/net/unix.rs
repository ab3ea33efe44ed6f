//! A Unix domain socket beside the TCP port, for scrapers on the same machine (a sidecar, an
//! agent, Prometheus' `unix:` targets): no port, and the file's mode says which users may connect.
//!
//! The file is removed when the server ends, unless another program has replaced it meanwhile. A file that a dead server
//! left is removed at the start, once a connection to it was refused; a file that a program answers on is not touched. The
//! mode is set before the socket listens, so no client connects through a file that is open wider than asked.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use socket2::{Domain, SockAddr, Socket, Type};

/// The owner alone. A group of scrapers needs 0o660, and the file that group.
pub(crate) const UNIX_SOCKET_MODE: u32 = 0o600;

/// Listens, but is not yet tied to an event loop.
#[derive(Debug)]
pub(crate) struct UnixBound {
    listener: UnixListener,
    file: SocketFile,
}

/// Listens on an event loop.
#[derive(Debug)]
pub(crate) struct UnixListening {
    listener: tokio::net::UnixListener,
    _file: SocketFile,
}

impl UnixBound {
    /// Binds, sets the mode, listens; in this order.
    pub(crate) fn bind(path: &Path, mode: u32, backlog: u32) -> io::Result<Self> {
        remove_if_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::of(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from(std::os::fd::OwnedFd::from(socket)), file })
    }

    /// Ties the socket to the event loop of this thread.
    pub(crate) fn open(self) -> io::Result<UnixListening> {
        let listener = tokio::net::UnixListener::from_std(self.listener)?;
        Ok(UnixListening { listener, _file: self.file })
    }
}

impl UnixListening {
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<tokio::net::UnixStream>> {
        self.listener.poll_accept(cx).map_ok(|(stream, _peer)| stream)
    }
}

/// The file of a socket that was bound here; removed when dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: a file of the same name may be another one by then.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?; // The program may change its directory.
        let identity = identity(&path)?;
        Ok(Self { path, identity })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = ?self.path, "the socket's file could not be removed");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn remove_if_stale(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is there; remove it or pass another path",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_stream) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another program answers on it; stop that program or pass another path",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Gone in the meantime; then it is free.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
