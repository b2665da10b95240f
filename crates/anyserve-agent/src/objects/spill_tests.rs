//! The file itself: that it has no name, and what its errors do.

use std::os::unix::fs::MetadataExt;

use super::*;

/// A folder of a test's own, which is gone with it.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("anyserve-test-{}", new_id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn entries(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A file to which nothing can be written.
pub(crate) fn full(size: u64) -> Spill {
    Spill::within(File::options().read(true).write(true).open("/dev/full").unwrap(), size)
}

impl Spill {
    /// Nothing of what was written can be read any more.
    pub(crate) fn truncate(&self) {
        self.file.set_len(0).unwrap();
    }
}

#[test]
fn the_file_has_no_name() {
    let folder = Folder::new();
    let spill = Spill::create(folder.path(), 1 << 20).unwrap();
    let flags = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    let other = unlinked(folder.path(), flags.0, flags.1).unwrap();
    assert_eq!(folder.entries(), 0);
    for metadata in [spill.file.metadata().unwrap(), other.metadata().unwrap()] {
        assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (0, 0o600));
    }
}

#[test]
fn what_was_written_is_read_and_its_place_is_free_afterwards() {
    let folder = Folder::new();
    let spill = Spill::create(folder.path(), 8192).unwrap();
    let first = spill.write(spill.take(5).unwrap(), b"first").unwrap();
    let second = spill.write(spill.take(6).unwrap(), b"second").unwrap();
    assert!(spill.take(1).is_none());
    let mut bytes = [0; 5];
    first.read(&mut bytes).unwrap();
    assert_eq!((&bytes, first.len(), first.held()), (b"first", 5, 4096));
    // Who reads it goes on doing so, whatever becomes of the object.
    let reader = second.clone();
    drop((first, second));
    assert!(spill.take(8192).is_none());
    let mut bytes = [0; 6];
    reader.read(&mut bytes).unwrap();
    assert_eq!(&bytes, b"second");
    drop(reader);
    assert!(spill.take(8192).is_some());
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let folder = Folder::new();
    let missing = Spill::create(&folder.path().join("missing"), 4096).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(Spill::create(&file, 4096).unwrap_err().kind(), io::ErrorKind::NotADirectory);
}

#[test]
fn a_write_that_fails_gives_its_place_back() {
    let spill = full(4096);
    for failed in 1..4 {
        assert!(spill.write(spill.take(10).unwrap(), b"0123456789").is_none());
        assert_eq!(spill.failed.get(), failed);
    }
}
