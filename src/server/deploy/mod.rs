//! `doorway deploy`, `doorway rollback` and `doorway releases`: releases are made here, by the user who deploys and out of
//! the door's way, and put in place by the door.

mod remote;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::Args;

use super::ask::say;
use super::runtime::{LAST_WORK, runtime};
use crate::releases::{Content, Order, OrderKind, ReleaseId, Step, failpoint};
use crate::telemetry::log;
use crate::upstream::{self, BuildPolicy, TakeError, available_memory};
use target::Target;
pub use target::Whose;

/// By so much less than others is a build entitled to the processor (nice(1)); the disk follows, where its scheduler knows
/// of that.
const NICE: i32 = 10;

/// What a release is made from, and where.
#[derive(Debug, Args)]
pub struct Deploying {
    /// A folder, a .tar, .tar.gz or .tar.zst, `-` for one from standard input, or a branch, tag or commit of the git
    /// repository here [default: this folder]
    #[arg(value_name = "DIR | ARCHIVE | REF")]
    what: Option<PathBuf>,
    /// Neither install nor build: a build that was made already goes with its packages
    #[arg(long)]
    no_build: bool,
    /// Send it to `doorway deploy -` on another machine, by ssh
    #[arg(long, value_name = "USER@HOST")]
    host: Option<String>,
}

/// Makes a release, and has the door take it.
///
/// # Errors
/// A sentence: what runs goes on then.
pub fn deploy(deploying: &Deploying, whose: &Whose) -> Result<ExitCode, String> {
    let what = deploying.what.clone().unwrap_or_else(|| PathBuf::from("."));
    let content = Content::named(&what, deploying.no_build).map_err(|error| error.to_string())?;
    if let Some(host) = &deploying.host {
        return remote::deploy(&content, host, deploying.no_build);
    }
    let target = Target::find(whose)?;
    target.check_user()?;
    log::start(&target.config.log)?;
    let lock = target.shelf.lock().map_err(|error| error.to_string())?;
    for id in target.shelf.clear(&lock).map_err(|error| error.to_string())? {
        say(&format!("cleared {id}, which an earlier deploy left unfinished\n"));
    }
    let memory = available_memory();
    if !deploying.no_build && !content.may_be_built() {
        check_memory(&target, memory)?;
    }
    let id = target.shelf.next().map_err(|error| error.to_string())?;
    let made = make(&target, &content, &id, deploying.no_build, memory)
        .inspect_err(|_| target.tell_unmade(&id))
        .and_then(|()| take(&target, &id, true));
    if let Err(why) = made {
        // Where the door ended in the midst of it, it may be the live one.
        if target.shelf.live().as_ref() != Some(&id) {
            let _ = target.shelf.remove(&id);
        }
        return Err(format!("not deployed: {why}"));
    }
    match target.shelf.prune(target.config.releases.keep, &lock) {
        Ok(deleted) => deleted.iter().for_each(|id| say(&format!("deleted {id}\n"))),
        Err(error) => say(&format!("old releases stay: {error}\n")),
    }
    if let (Some(before), Some(after)) = (memory, available_memory()) {
        say(&format!("memory free: {} before, {} now\n", ByteSize(before), ByteSize(after)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts an earlier release in the place of the live one.
///
/// # Errors
/// A sentence: what runs goes on then.
pub fn rollback(id: Option<&ReleaseId>, whose: &Whose) -> Result<ExitCode, String> {
    let target = Target::find(whose)?;
    target.check_user()?;
    let _lock = target.shelf.lock().map_err(|error| error.to_string())?;
    let id = target.shelf.before(id).map_err(|error| format!("not rolled back: {error}"))?;
    take(&target, &id, false).map_err(|why| format!("not rolled back: {why}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Lists what is on disk.
///
/// # Errors
/// A sentence: nobody says where, or it cannot be read.
pub fn releases(whose: &Whose) -> Result<ExitCode, String> {
    let target = Target::find(whose)?;
    let all = target.shelf.list().map_err(|error| error.to_string())?;
    if all.is_empty() {
        eprintln!("nothing has been deployed to {} yet", target.shelf.root().display());
    }
    let live = all.iter().position(|release| release.is_live);
    for (place, release) in all.iter().enumerate() {
        let mark = match live {
            Some(live) if place == live => "live",
            Some(live) if place == live + 1 => "previous",
            _ => "",
        };
        let (made, from) = (release.made().unwrap_or_default(), release.from.as_deref().unwrap_or("put there by hand"));
        say(&format!("{:<22}{mark:<10}{made:<25}{from}\n", release.id));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the release `id`, whole, in its folder.
fn make(target: &Target, content: &Content, id: &ReleaseId, no_build: bool, memory: Option<u64>) -> Result<(), String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    say(&format!("release {id} from {}\n", content.describe()));
    let folder = target.shelf.begin(id).map_err(|error| words(&error))?;
    failpoint("begun");
    content.fill(&folder).map_err(|error| words(&error))?;
    target.shelf.link_shared(id).map_err(|error| words(&error))?;
    failpoint("filled");
    let mut config = target.config.app.clone();
    config.dev = false;
    // What is kept of all its builds is kept under this name, which the door knows the app by.
    config.dir = Some(target.shelf.current());
    let is_built = content.may_be_built() && upstream::is_whole(&folder, &config);
    config.build = if no_build { BuildPolicy::Never } else { BuildPolicy::Auto };
    if is_built {
        say("its build was made already\n");
    } else {
        if !no_build {
            check_memory(target, memory)?;
            say("installing and building\n");
        }
        // It is the app that runs beside it that people wait for. What it starts has it from this thread.
        let _ = rustix::process::nice(NICE);
        let ready = async { upstream::make_ready(&folder, &config).await };
        let runtime = runtime().map_err(|error| words(&error))?;
        let made = runtime.block_on(ready);
        // Its last lines are printed before what this says of it.
        log::flush(LAST_WORK);
        made.map_err(|error| words(&error))?;
    }
    failpoint("built");
    target.shelf.describe(id, &content.describe()).map_err(|error| words(&error))
}

/// A build that takes all memory takes the app with it.
fn check_memory(target: &Target, memory: Option<u64>) -> Result<(), String> {
    let needed = target.config.releases.build_memory.0;
    match memory {
        Some(free) if free < needed => Err(format!(
            "{} of memory are free, and a build is to have {} ([releases] build_memory): build it on another machine and \
            send it here, as in `doorway deploy --no-build --host USER@HOST` or `tar -c . | ssh HOST doorway deploy -`",
            ByteSize(free),
            ByteSize(needed)
        )),
        _ => Ok(()),
    }
}

/// Has the door take `id`; where none runs, the next one starts it.
fn take(target: &Target, id: &ReleaseId, hook: bool) -> Result<(), String> {
    let Some(socket) = &target.socket else { return take_without_door(target, id, hook) };
    let order = Order { release: id.to_string(), kind: if hook { OrderKind::Deploy } else { OrderKind::Rollback } };
    let outcome = target::order(socket, &order, target.timeout(), |step| match step {
        Step::Doing(what) => say(&format!("{what}\n")),
        Step::Said(line) => eprintln!("  {line}"),
        Step::Live { .. } | Step::Failed(_) => {}
    });
    match outcome {
        Ok(Step::Live { before }) => {
            let before = before.map_or_else(String::new, |before| format!(", in place of {before}"));
            say(&format!("live: {id}{before}\n"));
            Ok(())
        }
        Ok(Step::Failed(why)) => {
            let live = target.shelf.live();
            let stays = live.map_or_else(|| "nothing is live yet".to_owned(), |live| format!("{live} stays live"));
            Err(format!("{why}; {stays}"))
        }
        Ok(_) => Err("the door ended before it was done: `doorway releases` says which release is live".to_owned()),
        Err(error) => Err(format!("the door cannot be asked at {}: {error}", socket.display())),
    }
}

fn take_without_door(target: &Target, id: &ReleaseId, hook: bool) -> Result<(), String> {
    let folder = target.shelf.folder(id);
    if let Some(hook) = target.config.releases.hook.as_deref().filter(|_| hook) {
        say(&format!("running the hook: {hook}\n"));
        let longest = target.config.releases.hook_timeout;
        let ran = async { upstream::run_hook(&folder, hook, &target.config.app, longest, None).await };
        let runtime = runtime().map_err(|error| error.to_string())?;
        runtime.block_on(ran).map_err(|TakeError { why, said }| {
            said.iter().for_each(|line| eprintln!("  {line}"));
            why
        })?;
    }
    target.shelf.make_live(id).map_err(|error| error.to_string())?;
    say(&format!("live: {id}; no door runs here: it is started with the next, and not tried before\n"));
    Ok(())
}
