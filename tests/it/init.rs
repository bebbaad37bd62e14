//! Promise: `doorway init` writes a config for what lies in the folder, which is right as it stands, and overwrites nothing.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Stub, door, wire};

fn doorway(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorway"));
    let Output { status, stdout, stderr } =
        command.args(arguments).current_dir(folder).env_remove("RUST_LOG").output().expect("the binary starts");
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn written(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("proxy.toml")).unwrap()
}

#[tokio::test]
async fn a_project_starts_with_what_was_written() {
    let project = Stub::new();
    project.write("next.config.mjs", "export default { distDir: 'build' };");
    let folder = project.path();
    let (code, said) = doorway(folder, &["init"]);
    assert_eq!(code, Some(0), "{said}");
    let expected =
        "./proxy.toml is written, for an app of Next.js\nstart: doorway .\ncheck: doorway check ./proxy.toml\n";
    assert_eq!(said, expected);
    let text = written(folder);
    assert!(text.contains("\ndir = \".\" ") && text.contains("\ndist = \"build\" "), "{text}");
    let (code, said) = doorway(folder, &["check"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = doorway(folder, &["config", "--diff"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        said, "app.dir = \".\"  # no default\napp.dist = \"build\"  # default: \".next\"\n",
        "and nothing else differs"
    );

    // The same on ports that are free; the stub builds into .next.
    let text = text.replace("0.0.0.0:8080", "127.0.0.1:0").replace("\ndist = ", "\n# dist = ");
    project.write("proxy.toml", &(text + "\n[admin]\nlisten = \"127.0.0.1:0\"\n"));
    let door = door().arguments(&[folder.to_str().unwrap()]).env("PATH", project.search_path()).start();
    assert!(wire::get(door.http(), "/").await.contains("\"command\":\"start\""));
}

#[test]
fn what_stands_in_comments_is_right_too() {
    let project = Stub::new();
    doorway(project.path(), &["init", "."]);
    let is_key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let text: String = written(project.path())
        .lines()
        .filter(|line| !line.contains("/etc/doorway/"))
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_key(rest) || rest.starts_with("[[") => rest,
            _ => line,
        })
        .map(|line| if line == "[tls]" { "[tls]\nself_signed = true\n".to_owned() } else { line.to_owned() + "\n" })
        .collect();
    assert!(text.contains("\nhosts = ") && text.contains("\n[[realtime.channel]]"), "{text}");
    project.write("proxy.toml", &text);
    let (code, said) = doorway(project.path(), &["check"]);
    assert_eq!(code, Some(0), "{said}\n{text}");
}

#[test]
fn every_framework_of_the_table_is_known() {
    for (package, name) in [("nuxt", "Nuxt"), ("@sveltejs/kit", "SvelteKit"), ("astro", "Astro")] {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(r#"{{ "devDependencies": {{ "{package}": "*" }} }}"#);
        std::fs::write(folder.path().join("package.json"), manifest).unwrap();
        let (code, said) = doorway(folder.path(), &["init"]);
        assert!(code == Some(0) && said.contains(&format!("for an app of {name}\n")), "{said}");
        assert!(written(folder.path()).contains("\ndir = \".\" "));
    }
}

#[test]
fn a_folder_without_a_project_gets_an_address() {
    for (manifest, port) in [(None, 3000), (Some(r#"{ "scripts": { "dev": "vite --port 5173" } }"#), 5173)] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(manifest) = manifest {
            std::fs::write(folder.path().join("package.json"), manifest).unwrap();
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let (code, said) = doorway(elsewhere.path(), &["init", folder.path().to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("for an app at http://127.0.0.1:{port}\nstart: doorway --config ")), "{said}");
        assert!(written(folder.path()).contains(&format!("\nurl = \"http://127.0.0.1:{port}\"")));
        assert_eq!(doorway(folder.path(), &["check"]).0, Some(0));
    }
}

#[test]
fn a_file_that_is_there_stays() {
    let project = Stub::new();
    project.write("proxy.toml", "# mine\n");
    let (code, said) = doorway(project.path(), &["init"]);
    assert_eq!((code, said.as_str()), (Some(1), "doorway: ./proxy.toml is there already, and stays as it is\n"));
    assert_eq!(written(project.path()), "# mine\n");
    let (code, said) = doorway(project.path(), &["init", "nowhere"]);
    assert_eq!((code, said.as_str()), (Some(1), "doorway: there is no folder nowhere\n"));
}
