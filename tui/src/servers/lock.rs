//! The lock on a data folder: two Valkeys on one append-only file would ruin it.
//!
//! The lock is on an open file, not in one, so nothing stale can be left. The file stays open in the watcher of
//! each server too (see [`crate::process`]): after a `kill -9` of the owner the folder counts as taken until
//! the last of its servers is gone.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::ServersError;

/// The servers of an owner that was just killed are gone by then.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a taken lock is tried again.
const POLL: Duration = Duration::from_millis(50);

/// Takes a data folder, after waiting for the servers of an owner that was killed. It is free again when the
/// last clone is dropped and the servers that hold one are gone.
pub(super) async fn take(data_dir: &Path) -> Result<Arc<File>, ServersError> {
    take_within(data_dir, PATIENCE).await
}

async fn take_within(data_dir: &Path, patience: Duration) -> Result<Arc<File>, ServersError> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    let file = file.map_err(ServersError::folder(&path))?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Arc::new(file)),
            Err(TryLockError::Error(source)) => return Err(ServersError::folder(&path)(source)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Err(TryLockError::WouldBlock) => {
                return Err(ServersError::InUse {
                    dir: data_dir.to_owned(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_taken_once_and_free_when_its_holder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let held = take_within(folder.path(), Duration::ZERO).await.unwrap();
        let refused = take_within(folder.path(), Duration::ZERO).await.unwrap_err();
        assert!(matches!(refused, ServersError::InUse { .. }), "{refused}");
        drop(held);
        take_within(folder.path(), Duration::ZERO)
            .await
            .expect("nobody holds it");
    }
}
