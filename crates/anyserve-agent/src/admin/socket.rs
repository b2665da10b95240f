//! The socket: in a folder that nobody else can enter.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::error::Error;

/// The longest path that a Unix socket may have.
const LONGEST_PATH: usize = 107;

/// An open socket; its file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Opens a socket of that name.
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Self, Error> {
        let path = folder.join(name);
        let open = || {
            let length = path.as_os_str().len();
            if length > LONGEST_PATH {
                let why = format!(
                    "its {length} characters are more than the {LONGEST_PATH} of a socket's path; set XDG_RUNTIME_DIR to a shorter one"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            make_private(folder)?;
            if UnixStream::connect(&path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent has it"));
            }
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // An agent that was killed left it.
                _ => {}
            }
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        match open() {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(Error::Admin { path, source }),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the folder, or checks that it is this user's alone.
fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = std::fs::symlink_metadata(folder)?;
    let own = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    let open_to_others = metadata.mode() & 0o077;
    if own && open_to_others == 0 {
        return Ok(());
    }
    let what = format!("{} is not a folder that only its user can enter (mode 0700)", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}
