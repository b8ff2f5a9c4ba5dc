//! The file that a backup is written to: in place only once it is whole, and its owner's only.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::BackupError;
use crate::store::private;

/// A file under construction, of mode 0600, beside the place where it is to be, with `.partial` after its
/// name. It is removed again when it is dropped before [`finish`](Self::finish).
#[derive(Debug)]
pub struct BackupFile {
    out: BufWriter<File>,
    /// Taken away once it is in place.
    partial: Option<PathBuf>,
    file: PathBuf,
}

impl BackupFile {
    /// Begins a file that is to be at this place.
    ///
    /// # Errors
    /// When something is at this place already and `replace` is not set or it is no file, or when the
    /// file cannot be created.
    pub fn create(file: impl Into<PathBuf>, replace: bool) -> Result<Self, BackupError> {
        let mut file = file.into();
        let refused = |file: &Path, kind, why| {
            Err(BackupError::io("create", Some(file), io::Error::new(kind, why)))
        };
        if !replace && fs::symlink_metadata(&file).is_ok() {
            let why = "it is there already; name another file, or say that it is to be replaced";
            return refused(&file, io::ErrorKind::AlreadyExists, why);
        }
        if let Ok(there) = fs::metadata(&file) {
            if !there.is_file() {
                let why = "it is a directory, a device or a pipe, and not a file; name another";
                return refused(&file, io::ErrorKind::InvalidInput, why);
            }
            // A link goes on to lead to the file.
            file = fs::canonicalize(&file)
                .map_err(|error| BackupError::io("create", Some(&file), error))?;
        }
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = file.with_file_name(name);
        let failed = |error| BackupError::io("create", Some(&partial), error);
        // One that an interrupted backup left, perhaps with another mode.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let out = BufWriter::with_capacity(1 << 20, options.open(&partial).map_err(failed)?);
        Ok(Self { out, partial: Some(partial), file })
    }

    /// The place where it is to be.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Where it is until then.
    pub fn partial(&self) -> &Path {
        self.partial.as_deref().unwrap_or(&self.file)
    }

    /// Makes it durable and puts it in place.
    ///
    /// # Errors
    /// When the operating system refuses; what was in place before still is, unless only the directory
    /// could not be synced.
    pub fn finish(mut self) -> Result<(), BackupError> {
        let Some(partial) = self.partial.clone() else { return Ok(()) };
        let failed = |verb, path: &Path| {
            let path = path.to_path_buf();
            move |error| BackupError::io(verb, Some(&path), error)
        };
        self.out.flush().map_err(failed("write", &partial))?;
        self.out.get_ref().sync_all().map_err(failed("sync", &partial))?;
        fs::rename(&partial, &self.file).map_err(failed("replace", &self.file))?;
        self.partial = None;
        private::sync_directory(private::parent(&self.file))
            .map_err(|error| BackupError::io(error.verb, Some(&error.path), error.source))
    }
}

impl Write for BackupFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // A leftover would only take room.
            let _ = fs::remove_file(partial);
        }
    }
}
