//! Tests over ways that are long, narrow, lossy or forgotten: the real binary at one end, clients at the other. One file
//! a promise. Nothing here asserts a time; what is compared is the same work over the same way.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "what the house forbids itself is shorter here, and a test that panics says so"
)]

#[path = "../../it/harness/mod.rs"]
mod harness;

mod first_bytes;
mod forgotten;
mod narrow;
mod queues;
mod site;
mod uploads;
mod urgency;
mod vanished;
mod way;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Err(lacking) = ways::Way::long(Duration::ZERO, 0) {
        become_root(&lacking);
    }
    let lacking = ways::Way::long(Duration::ZERO, 0).err();
    let tests: Vec<Test> = [
        way::TESTS,
        uploads::TESTS,
        queues::TESTS,
        urgency::TESTS,
        first_bytes::TESTS,
        forgotten::TESTS,
        vanished::TESTS,
        narrow::TESTS,
    ]
    .concat();
    let trial = |(name, test): Test| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(lacking.is_some())
    };
    let arguments = Arguments::from_args();
    let conclusion = libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect());
    if let Some(lacking) = lacking {
        println!("skipped: {} ({lacking})", conclusion.num_ignored);
    }
    conclusion.exit_code()
}

/// Whoever may not make network namespaces often may in a user namespace of his own: begins again there. Comes back
/// where that cannot be, or is so already.
fn become_root(lacking: &std::io::Error) {
    const TRIED: &str = "DOORWAY_WAYS_IN_USER_NAMESPACE";
    let may_enter = Command::new("unshare").args(["--user", "--map-root-user", "--net", "true"]).status();
    if std::env::var_os(TRIED).is_none() && may_enter.is_ok_and(|status| status.success()) {
        eprintln!("{lacking}: trying in a user namespace");
        let program = std::env::current_exe().expect("a program that runs");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]).arg(program).args(std::env::args_os().skip(1));
        let _ = command.env(TRIED, "1").exec();
    }
}
