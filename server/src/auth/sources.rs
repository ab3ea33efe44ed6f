//! The files that a configuration was read from, and whether one of them has changed since.
//!
//! The metadata of a file are read before the file, so a change during the reading is seen at the next look. Missing
//! files are remembered too: a configuration that failed for want of a file is tried again when the file comes. A look
//! costs one `stat` a file. A file that is rewritten in place to the same length within the tick of the file system's
//! clock (some 4 ms) goes unseen; a file that is moved there does not.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::yaml::FILE_BYTES_MAX;

/// Files with the metadata that they had when they were read.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<(PathBuf, Option<Look>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Device and inode: a file that was moved there may have any time.
    identity: (u64, u64),
}

impl Sources {
    /// Reads a whole file and remembers it.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.push((path.into(), look(path)));
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        // A pipe would be waited for, and a directory has no bytes.
        if !fs::metadata(path)?.is_file() {
            return Err(invalid("not a regular file".into()));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(invalid(format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }

    /// Returns whether a file has changed, come or gone since it was read.
    pub(crate) fn changed(&self) -> bool {
        self.0.iter().any(|(path, seen)| look(path) != *seen)
    }
}

fn look(path: &Path) -> Option<Look> {
    let file = fs::metadata(path).ok()?; // Through links, as Kubernetes mounts its secrets.
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt;
        (file.dev(), file.ino())
    };
    #[cfg(not(unix))]
    let identity = (0, 0);
    Some(Look { modified: file.modified().ok(), bytes: file.len(), identity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_arrivals_and_departures_are_seen() {
        let directory = std::env::temp_dir().join(format!("sources-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("a");
        let mut sources = Sources::default();
        assert!(sources.read(&path).is_err());
        assert!(!sources.changed());
        fs::write(&path, "1").expect("a file");
        assert!(sources.changed(), "it came");

        let mut sources = Sources::default();
        assert_eq!(sources.read(&path).expect("a file"), b"1");
        assert!(!sources.changed());
        let other = directory.join("b");
        fs::write(&other, "2").expect("a file");
        fs::rename(&other, &path).expect("moved");
        assert!(sources.changed(), "another one of the same length");

        let mut sources = Sources::default();
        sources.read(&path).expect("a file");
        fs::remove_file(&path).expect("it was there");
        assert!(sources.changed(), "it went");
        fs::remove_dir_all(&directory).expect("it was there");
    }
}
