//! Files that appear whole or not at all.
//!
//! A reader never sees half a file: everything is written beside its place and then renamed. This
//! module knows nothing of what the files hold.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a file by way of a temporary one in the same folder, making the folders that lack.
///
/// # Errors
/// Whatever the file system or `write` says; the old file, if there was one, is then untouched.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    put_in_place(path, |file| {
        let mut writer = BufWriter::with_capacity(64 * 1024, file);
        write(&mut writer)?;
        writer.flush()
    })
}

/// Makes the file beside its place, and moves it there once it is whole.
fn put_in_place(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = match new_temporary(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            new_temporary(folder)?
        }
        other => other?,
    };
    write(temporary.as_file())?;
    temporary.persist(path).map_err(|failure| failure.error)?;
    Ok(())
}

/// As [`write_atomic`], of a text that is at hand.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_text(path: &Path, text: &str) -> io::Result<()> {
    put_in_place(path, |mut file| file.write_all(text.as_bytes()))
}

fn new_temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".daygrain-").suffix(".tmp");
    // The mode of an ordinary new file, from which the system takes the user's mask away.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_contents_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/c.json");
        write_text(&path, "one").expect("first");
        write_text(&path, "two").expect("second");
        assert_eq!(fs::read_to_string(&path).expect("read"), "two");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("c.json");
        write_text(&path, "old").expect("first");
        let failed = write_atomic(&path, |writer| {
            writer.write_all(b"half")?;
            Err(io::Error::other("stopped"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).expect("read"), "old");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_the_mask_lets_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let plain = folder.path().join("plain");
        fs::write(&plain, "x").expect("write");
        let ours = folder.path().join("ours");
        write_text(&ours, "x").expect("write");
        let mode = |path: &Path| fs::metadata(path).expect("stat").permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
