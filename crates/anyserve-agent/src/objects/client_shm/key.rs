//! From the name of a shared memory object to an open file.

use std::fs::File;
use std::io;

use rustix::fs::{FileType, Mode, OFlags};

use super::error::ClientShmError;

/// Where the system keeps what `shm_open` makes.
const FOLDER: &str = "/dev/shm";

/// The longest name of a file.
const LONGEST: usize = 255;

/// Opens the object that `shm_open` knows by that name, and nothing else: no other folder, no link, no device.
pub(super) fn open(key: &str) -> Result<File, ClientShmError> {
    let name = key.strip_prefix('/').unwrap_or(key);
    let plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= LONGEST;
    if !plain {
        return Err(ClientShmError::Invalid(format!(
            "key {key:.300?} is not the name of a shared memory object: one '/' at most, at its start, then up to {LONGEST} bytes"
        )));
    }
    // One that is no file should not hold this up, and a link could lead anywhere.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::open(format!("{FOLDER}/{name}"), flags, Mode::empty());
    let opened = opened.and_then(|file| Ok((rustix::fs::fstat(&file)?.st_mode, file)));
    match opened {
        Ok((mode, file)) if FileType::from_raw_mode(mode) == FileType::RegularFile => Ok(file.into()),
        Ok(_) => Err(ClientShmError::Invalid(format!("key '{key}' is no shared memory object"))),
        Err(error) => {
            let error = io::Error::from(error);
            Err(ClientShmError::Invalid(format!("shared memory object '{key}' cannot be opened: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_name_in_one_folder() {
        let long = "k".repeat(256);
        for key in ["", "/", ".", "/..", "..", "a/b", "//a", "/a/", "a\0b", &long] {
            assert!(
                matches!(open(key), Err(ClientShmError::Invalid(text)) if text.contains("not the name")),
                "{key}"
            );
        }
        assert!(open("anyserve-there-is-none").is_err());
    }
}
