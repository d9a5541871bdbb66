//! WAL that is kept in a folder, and restored from there.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Result, Sandbox};

/// A folder that a leader copies its WAL to.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// The one of a sandbox.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn of(sandbox: &Sandbox) -> Result<Self> {
        Ok(Self { folder: sandbox.part("archive")?.folder().to_owned() })
    }

    /// What PostgreSQL runs for each segment, which is not seen there before all of it is.
    pub fn archive_command(&self) -> String {
        let folder = self.folder.display();
        format!("cp %p {folder}/%f.part && mv {folder}/%f.part {folder}/%f")
    }

    /// What PostgreSQL runs for each segment that it wants back.
    pub fn restore_command(&self) -> String {
        format!("cp {}/%f %p", self.folder.display())
    }

    /// A node of Patroni's archives to it while it leads, and restores from it what it does not get otherwise. Segments are
    /// small, and asked for often.
    pub(crate) fn add_to(&self, configuration: &mut Value) {
        configuration["bootstrap"]["initdb"].as_array_mut().into_iter().for_each(|words| {
            words.push(json!({ "wal-segsize": "1" }));
        });
        let postgresql = &mut configuration["postgresql"];
        postgresql["parameters"]["archive_mode"] = json!("on");
        postgresql["parameters"]["archive_command"] = json!(self.archive_command());
        postgresql["parameters"]["wal_retrieve_retry_interval"] = json!("200ms");
        postgresql["recovery_conf"] = json!({ "restore_command": self.restore_command() });
    }
}
