//! Small files that hold secrets, and who else may read them.

use std::{fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path};

use super::secret::Secret;

/// No file of a single secret is larger, in bytes.
const SECRET_FILE_MAX: u64 = 64 * 1024;

/// A file's text and whether everybody may read it.
pub(super) struct Guarded {
    pub(super) bytes: Vec<u8>,
    pub(super) readers: Readers,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    OwnerOrGroup,
    Everybody,
}

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// Says why it cannot be read, without its name.
pub(super) fn read_guarded(path: &Path, max: u64) -> Result<Guarded, String> {
    let file = File::open(path).map_err(|error| plain(&error))?;
    let metadata = file.metadata().map_err(|error| plain(&error))?;
    if metadata.is_dir() {
        return Err("it is a folder".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| plain(&error))?;
    if bytes.len() as u64 > max {
        return Err(format!("it is larger than {} kB", max / 1024));
    }
    let everybody = metadata.permissions().mode() & 0o004 != 0;
    Ok(Guarded { bytes, readers: if everybody { Readers::Everybody } else { Readers::OwnerOrGroup } })
}

/// Reads a secret from a file; one line end after it does not belong to it.
///
/// # Errors
/// Says why it cannot be had, without the file's name or content.
pub(super) fn read_secret(path: &Path) -> Result<(Secret, Readers), String> {
    let Guarded { bytes, readers } = read_guarded(path, SECRET_FILE_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    match text {
        "" => Err("it is empty".to_owned()),
        text if text.contains(['\n', '\0']) => Err("it holds more than one line".to_owned()),
        text => Ok((Secret::new(text), readers)),
    }
}

/// "no such file or directory" rather than "No such file or directory (os error 2)".
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_secret_is_one_line() {
        for (content, secret) in [
            (&b"hunter2\n"[..], Ok("hunter2")),
            (b"hunter2", Ok("hunter2")),
            (b"hunter2\r\n", Ok("hunter2")),
            (b" a b \n", Ok(" a b ")),
            (b"", Err("it is empty")),
            (b"\n", Err("it is empty")),
            (b"a\nb\n", Err("it holds more than one line")),
            (b"\xff", Err("it is not UTF-8")),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content).unwrap();
            let read = read_secret(file.path());
            assert_eq!(read.as_ref().map(|(s, _)| s.expose()).map_err(String::as_str), secret, "{content:?}");
        }
        assert_eq!(
            read_secret(Path::new("/nonexistent")).map(|_| ()),
            Err("no such file or directory".to_owned())
        );
        assert_eq!(read_secret(Path::new("/tmp")).map(|_| ()), Err("it is a folder".to_owned()));
        let big = tempfile::NamedTempFile::new().unwrap();
        big.as_file().set_len(SECRET_FILE_MAX + 1).unwrap();
        assert_eq!(read_secret(big.path()).map(|_| ()), Err("it is larger than 64 kB".to_owned()));
    }

    #[test]
    fn tells_who_may_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, readers) in
            [(0o600, Readers::OwnerOrGroup), (0o640, Readers::OwnerOrGroup), (0o644, Readers::Everybody)]
        {
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_guarded(file.path(), 10).unwrap().readers, readers, "{mode:o}");
        }
    }
}
