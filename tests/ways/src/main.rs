//! A way by hand: `way delay=75ms rate=100M`. It says how to get to either end, and takes changes on its standard input.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ways::{Conditions, Patience, Way};

const HELP: &str = "\
way [for=TIME] [KEY=VALUE]...
  delay=75ms jitter=10ms rate=100M queue=256k loss=0.01 reordering=0.01/10ms black_hole=on

It ends with its standard input, or after for=TIME (an hour). Lines that it takes meanwhile:
  KEY=VALUE...         both directions
  up KEY=VALUE...      from the client;  down KEY=VALUE... from the server
  nat TIME             a NAT that forgets connections silent for so long; nat TIME reset: and resets them; nat off
  forget               it forgets them all now
  tally                what has passed and what was lost";

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let mut time = Duration::from_secs(60 * 60);
    words.retain(|word| match word.strip_prefix("for=").map(humantime::parse_duration) {
        Some(Ok(given)) => {
            time = given;
            false
        }
        _ => true,
    });
    match serve(&words, time) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(words: &[String], time: Duration) -> Result<(), String> {
    let mut conditions = Conditions::default();
    words.iter().try_for_each(|word| conditions.set(word))?;
    let way = Way::new(conditions).map_err(|error| error.to_string())?;
    for (name, side) in [("client", &way.client), ("server", &way.server)] {
        println!("{name} {} nsenter --net={}", side.address(), side.namespace());
    }
    thread::spawn(move || {
        thread::sleep(time);
        std::process::exit(0);
    });
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if let Err(error) = obey(&way, &line) {
            println!("{error}");
        }
    }
    Ok(())
}

fn obey(way: &Way, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let set = |conditions: &mut Conditions, words: &[&str]| words.iter().try_for_each(|word| conditions.set(word));
    let mut outcome = Ok(());
    let patience = |time: &str| humantime::parse_duration(time).map_err(|error| format!("{time}: {error}"));
    match words[..] {
        [] => {}
        ["tally"] => println!("up {:?}\ndown {:?}", way.up(), way.down()),
        ["forget"] => way.forget(),
        ["nat", "off"] => way.nat(Patience::Endless),
        ["nat", time] => way.nat(Patience::Vanish(patience(time)?)),
        ["nat", time, "reset"] => way.nat(Patience::Reset(patience(time)?)),
        ["up", ref rest @ ..] => way.change_up(|conditions| outcome = set(conditions, rest)),
        ["down", ref rest @ ..] => way.change_down(|conditions| outcome = set(conditions, rest)),
        ref rest => way.change(|conditions| outcome = set(conditions, rest)),
    }
    outcome
}
