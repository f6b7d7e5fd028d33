//! Files that a command reads and writes: found to be unusable before anything is done, and never written over each other.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file, by whichever name: its device and number, or its place where there is none yet.
#[derive(PartialEq)]
enum Identity {
    There(u64, u64),
    Place(PathBuf),
}

/// None for what is no file and holds nothing: devices, pipes.
fn identity(path: &Path) -> Option<Identity> {
    match fs::metadata(path) {
        Ok(found) => found.is_file().then(|| Identity::There(found.dev(), found.ino())),
        Err(_) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(Identity::Place(folder.canonicalize().ok()?.join(path.file_name()?)))
        }
    }
}

/// Whether everything that is to be written can be, each to a file of its own that is none of those read.
///
/// # Errors
/// What cannot be, and why.
pub fn check(read: &[&Path], written: &[&Path]) -> Result<(), String> {
    for (index, path) in written.iter().enumerate() {
        let name = path.display();
        let mine = identity(path);
        let same = |other: &&Path| other == path || mine.is_some() && identity(other) == mine;
        if **path == *Path::new("-") {
            if written[..index].contains(path) {
                return Err("the standard output has room for one report".to_owned());
            }
            continue;
        }
        if mine.is_some() && read.iter().any(same) {
            return Err(format!("{name} is read, and would be written over"));
        }
        if mine.is_some() && written[..index].iter().any(same) {
            return Err(format!("{name} is named twice, and would be written over itself"));
        }
        try_to_write(path).map_err(|error| format!("cannot write {name}: {error}"))?;
    }
    Ok(())
}

/// Opens a file as if to write it, and leaves everything as it was.
fn try_to_write(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        // Opening the end of a pipe could wait for the other.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            OpenOptions::new().write(true).create_new(true).open(path)?;
            fs::remove_file(path)
        }
        // A link to what is not there yet: writing will tell.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_by_whichever_name() {
        let folder = std::env::temp_dir().join(format!("maeslant-files-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let [source, hard, soft, new] = ["source", "hard", "soft", "new"].map(|name| folder.join(name));
        fs::write(&source, "kept").unwrap();
        fs::hard_link(&source, &hard).unwrap();
        std::os::unix::fs::symlink(&source, &soft).unwrap();
        for written in [&source, &hard, &soft, &folder.join("./source")] {
            assert!(check(&[&source], &[written]).unwrap_err().contains("written over"), "{}", written.display());
        }
        let dotted = folder.join(".").join("new");
        assert!(check(&[&source], &[&new, &dotted]).unwrap_err().contains("twice"));
        assert!(check(&[], &[Path::new("-"), Path::new("-")]).is_err());
        assert_eq!(check(&[&source], &[&new, Path::new("-"), Path::new("/dev/null"), Path::new("/dev/null")]), Ok(()));
        assert!(!new.exists(), "nothing is left of the attempt");
        assert!(check(&[], &[&folder]).is_err() && check(&[], &[&new.join("deeper")]).is_err());
        assert_eq!(fs::read_to_string(&source).unwrap(), "kept");
        fs::remove_dir_all(&folder).unwrap();
    }
}
