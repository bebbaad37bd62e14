//! Promise: `doorway reload` and `doorway status` find the door that runs, however it was started, and ask when several do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::{Door, Stub, door, eventually};

/// A machine of its own: no door leaves its note elsewhere, and none of other tests is found.
struct Machine {
    runtime: TempDir,
    /// A folder without a config.
    elsewhere: TempDir,
}

impl Machine {
    fn new() -> Machine {
        Machine { runtime: tempfile::tempdir().unwrap(), elsewhere: tempfile::tempdir().unwrap() }
    }

    fn runtime(&self) -> &str {
        self.runtime.path().to_str().unwrap()
    }

    /// `doorway DIR`, whose admin listener has a port that only it knows.
    fn start(&self, project: &Stub) -> Door {
        let directory = project.path().to_str().unwrap();
        let door = door().arguments(&[directory]).env("PATH", project.search_path());
        door.env("XDG_RUNTIME_DIR", self.runtime()).env("TMPDIR", self.runtime()).start()
    }

    async fn run_in(&self, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorway"));
        command
            .args(arguments)
            .current_dir(folder)
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("TMPDIR", self.runtime());
        command.env_remove("RUNTIME_DIRECTORY").env_remove("RUST_LOG");
        // Elsewhere, so that the app of a test is not kept from answering.
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.run_in(self.elsewhere.path(), arguments).await
    }

    fn notes(&self) -> Vec<PathBuf> {
        self.left().into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
    }

    /// All that doors have put there.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.runtime.path().join("doorway")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn pid(door: &Door) -> String {
    format!("\npid: {}\n", door.pid())
}

#[tokio::test]
async fn the_only_door_is_found_from_anywhere() {
    let (machine, project) = (Machine::new(), Stub::new());
    let mut door = machine.start(&project);
    let (code, said) = machine.run(&["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("ready\nurl: http://127.0.0.1:") && said.contains(&pid(&door)), "{said}");

    let (code, said) = machine.run(&["reload"]).await;
    assert_eq!((code, said.as_str()), (Some(0), "reloaded, app unchanged\n"));
    door.wait_for_log(|line| line["message"] == "reloaded");

    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
    assert_eq!(machine.left(), Vec::<PathBuf>::new(), "a door takes its note and its socket with it");
}

#[tokio::test]
async fn several_doors_are_named_and_one_is_asked_for() {
    let (machine, [first, second]) = (Machine::new(), [Stub::new(), Stub::new()]);
    let doors = [machine.start(&first), machine.start(&second)];
    for command in ["status", "reload"] {
        let (code, said) = machine.run(&[command]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("doorway: several doors run: say which by --config FILE or by the folder"), "{said}");
        for (door, project) in doors.iter().zip([&first, &second]) {
            let named =
                format!("\n  pid {}, http://{}, {}, --config ", door.pid(), door.http(), project.path().display());
            assert!(said.contains(&named), "{named} in {said}");
        }
    }
    for (door, project) in doors.iter().zip([&first, &second]) {
        let (folder, file) = (project.path().to_str().unwrap(), door.config_file());
        for (place, arguments) in [
            (machine.elsewhere.path(), vec!["status", folder]),
            (machine.elsewhere.path(), vec!["status", "--config", file.to_str().unwrap()]),
            // Where the app is, and where the config is.
            (project.path(), vec!["status"]),
            (door.folder(), vec!["status"]),
        ] {
            let (code, said) = machine.run_in(place, &arguments).await;
            assert_eq!(code, Some(0), "{arguments:?}: {said}");
            assert!(said.contains(&pid(door)), "{arguments:?}: {said}");
        }
    }
    let (code, said) = machine.run(&["reload", second.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{said}");
    doors[1].wait_for_log(|line| line["message"] == "reloaded");
    assert!(!doors[0].output().contains("\"reloaded\""), "{}", doors[0].output());
}

/// Nobody takes away the note of a door that was killed, and its number may be another's by now.
#[tokio::test]
async fn a_door_that_was_killed_is_not_found() {
    let (machine, [first, second]) = (Machine::new(), [Stub::new(), Stub::new()]);
    let (killed, door) = (machine.start(&first), machine.start(&second));
    assert_eq!(machine.notes().len(), 2);
    drop(killed);
    eventually("its note is known to be stale", || async {
        let (code, said) = machine.run(&["status"]).await;
        code == Some(0) && said.contains(&pid(&door))
    })
    .await;
    assert_eq!((machine.notes().len(), machine.left().len()), (1, 2), "and is gone with its socket");
    let (code, said) = machine.run(&["status", first.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(1), "{said}");
}

#[tokio::test]
async fn a_door_without_an_admin_listener_is_asked_at_its_socket() {
    let machine = Machine::new();
    let off = door().config("[admin]\nlisten = \"off\"\n").env("XDG_RUNTIME_DIR", machine.runtime());
    let door = off.env("TMPDIR", machine.runtime()).start();
    let (code, said) = machine.run(&["reload"]).await;
    assert_eq!((code, said.as_str()), (Some(0), "reloaded, app unchanged\n"));
    let (_, said) = machine.run(&["status"]).await;
    assert!(said.contains(&pid(&door)), "{said}");
    // Nobody else may open it.
    let socket = machine.left().into_iter().find(|path| path.is_dir()).expect("a folder").join("admin.sock");
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    // Where it is gone, there is a signal.
    std::fs::remove_file(&socket).unwrap();
    let (code, said) = machine.run(&["reload"]).await;
    assert!(code == Some(1) && said.contains("no answer from "), "{said}");
}
