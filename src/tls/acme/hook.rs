//! dns-01 by a program of the operator's: `PROGRAM present NAME VALUE` puts a TXT record, `PROGRAM cleanup NAME VALUE`
//! takes it away.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long the program may take: it is to come back when the record can be seen everywhere.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How much of what it says is repeated, in bytes.
const REPEATED: usize = 300;

/// A TXT record that is there.
#[derive(Debug)]
pub struct DnsRecord {
    program: PathBuf,
    name: String,
    value: String,
}

impl DnsRecord {
    /// Puts it.
    ///
    /// # Errors
    /// A sentence, with the program's last words.
    pub async fn present(program: &Path, domain: &str, value: String) -> Result<DnsRecord, String> {
        let name = format!("_acme-challenge.{}", domain.trim_start_matches("*."));
        let record = DnsRecord { program: program.to_owned(), name, value };
        record.run("present").await?;
        Ok(record)
    }

    /// Takes it away.
    ///
    /// # Errors
    /// A sentence, with the program's last words.
    pub async fn cleanup(self) -> Result<(), String> {
        self.run("cleanup").await
    }

    async fn run(&self, what: &str) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args([what, &self.name, &self.value]).stdin(Stdio::null()).kill_on_drop(true);
        let program = self.program.display();
        let output = match timeout(HOOK_TIMEOUT, command.output()).await {
            Ok(output) => output.map_err(|error| format!("cannot run {program}: {error}"))?,
            Err(_) => return Err(format!("{program} {what} did not end within {HOOK_TIMEOUT:?}")),
        };
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr });
        let said: String = said.trim().chars().rev().take(REPEATED).collect();
        let said: String = said.chars().rev().collect();
        Err(format!("{program} {what} {} failed ({}): {said}", self.name, output.status))
    }
}
