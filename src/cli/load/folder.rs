//! A folder for the files of a resolver that a run starts, gone with the run.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use maeslant::net::claim::claim;

/// How the folders of resolvers under way are named.
const PREFIX: &str = "maeslant-stage-";
/// And before they are claimed, when nobody may take them for left behind.
const UNCLAIMED: &str = "maeslant-unclaimed-";

/// A folder under the system's one for temporary files, and gone with this value.
///
/// A run that was killed cannot clear up: its folder stays, and the next run removes it.
pub struct Folder {
    path: PathBuf,
    /// As long as it is open, the folder is in use.
    _claim: File,
}

impl Folder {
    /// A new one with a name in its name; what runs that are no more have left behind is removed.
    pub fn new(name: &str) -> io::Result<Folder> {
        Folder::within(&std::env::temp_dir(), name)
    }

    fn within(parent: &Path, name: &str) -> io::Result<Folder> {
        // Runs in networks of their own all have process 1: the time tells them apart.
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_nanos());
        let name = format!("{name}-{}-{moment}", std::process::id());
        let (made, path) = (parent.join(format!("{UNCLAIMED}{name}")), parent.join(format!("{PREFIX}{name}")));
        fs::create_dir(&made)?;
        let folder = File::open(&made)?;
        claim(&folder)?;
        fs::rename(&made, &path)?;
        clear(parent, folder.metadata()?.uid());
        Ok(Folder { path, _claim: folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes folders of this user that nobody holds any more. One that cannot be removed is no reason not to run.
fn clear(parent: &Path, user: u32) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user);
        if ours && File::open(entry.path()).and_then(|folder| claim(&folder)).unwrap_or(false) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_in_use_is_not() {
        let parent = std::env::temp_dir().join(format!("maeslant-folders-{}", std::process::id()));
        fs::create_dir(&parent).unwrap();
        let left = parent.join(format!("{PREFIX}unbound-1-1"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("config"), "").unwrap();
        fs::create_dir(parent.join("someone's")).unwrap();
        let first = Folder::within(&parent, "bind").unwrap();
        assert!(!left.exists() && first.path().exists());
        let second = Folder::within(&parent, "knot").unwrap();
        assert!(first.path().exists() && second.path().exists() && parent.join("someone's").exists());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
        drop(second);
        fs::remove_dir_all(&parent).unwrap();
    }
}
