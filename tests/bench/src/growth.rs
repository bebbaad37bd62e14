//! How figures grow: with connections, with the length of bodies, with channels, with clients in a channel, with processors.
//! What should be flat is flat, and where it bends the picture shows it.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use doorway_bench_table::record::Run;
use doorway_bench_table::text::grouped;
use serde::Serialize;
use tokio::task::LocalSet;

use crate::contender::{Contender, Role, Running, Site};
use crate::http::{self, Ask, WARM_UP, Wire};
use crate::rest::{Api, Rest};
use crate::tally::Tally;
use crate::websocket::{self, Visit};
use crate::{pusher, upstream};

/// Requests under way at once, however many connections are open.
const AT_ONCE: usize = 64;

/// Clients that have all channels between them.
const SUBSCRIBERS: usize = 2_000;

#[derive(Debug, Clone, Copy)]
enum What {
    Connections,
    Body,
    Clients,
    Channels,
    Processors(Load),
}

/// What grows with processors.
#[derive(Debug, Clone, Copy)]
enum Load {
    Requests,
    Deliveries,
}

struct Growth {
    title: &'static str,
    unit: &'static str,
    of: &'static str,
    what: What,
    points: &'static [usize],
    contenders: &'static [Contender],
}

use Contender::{Bun, Doorway, Nginx};

const GROWTHS: &[Growth] = &[
    Growth {
        title: "HTTP/1.1, 1 KB, 64 at once",
        unit: "requests per CPU-second",
        of: "open connections",
        what: What::Connections,
        points: &[64, 256, 1_024, 4_096, 16_000],
        contenders: &[Doorway, Nginx],
    },
    Growth {
        title: "Bodies",
        unit: "bytes per CPU-second",
        of: "bytes a body",
        what: What::Body,
        points: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
        contenders: &[Doorway, Nginx],
    },
    Growth {
        title: "Fan-out",
        unit: "deliveries per CPU-second",
        of: "clients in the channel",
        what: What::Clients,
        points: &[1, 10, 100, 1_000, 10_000],
        contenders: &[Doorway, Bun],
    },
    Growth {
        title: "Events by REST to one of many channels",
        unit: "events per CPU-second",
        of: "channels",
        what: What::Channels,
        points: &[1, 10, 100, 1_000, 10_000, 100_000],
        contenders: &[Doorway],
    },
    Growth {
        title: "HTTP/1.1, 1 KB, 64 connections",
        unit: "requests per CPU-second",
        of: "processors",
        what: What::Processors(Load::Requests),
        points: &[1, 2],
        contenders: &[Doorway, Nginx],
    },
    Growth {
        title: "Fan-out to 1,000",
        unit: "deliveries per CPU-second",
        of: "processors",
        what: What::Processors(Load::Deliveries),
        points: &[1, 2],
        contenders: &[Doorway],
    },
];

/// One point of a line: the median of the rounds.
#[derive(Debug, Serialize)]
struct Point {
    title: &'static str,
    unit: &'static str,
    of: &'static str,
    contender: Contender,
    at: usize,
    figure: f64,
    p99_ms: Option<f64>,
    resident: u64,
}

struct Measured {
    figure: f64,
    p99_ms: Option<f64>,
    resident: u64,
}

/// All of it, and where it was measured.
#[derive(Serialize)]
struct Grown {
    of: Run,
    rounds: usize,
    points: Vec<Point>,
}

/// Measures all of it, and writes `growth.json` and `growth.svg`; `of` says which door it is, and where.
pub fn run(site: &Site, rounds: usize, seconds: f64, of: Run, out: &Path) -> Result<()> {
    let began = Instant::now();
    let mut points = Vec::new();
    for growth in GROWTHS {
        println!("\n{}  ({})", growth.title, growth.unit);
        for contender in growth.contenders.iter().filter(|contender| contender.program(site).is_some()) {
            for at in growth.points {
                let mut measured = Vec::new();
                for _ in 0..rounds {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    let span = Duration::from_secs_f64(seconds);
                    let local = LocalSet::new();
                    measured.push(runtime.block_on(local.run_until(measure(
                        growth.what,
                        *contender,
                        *at,
                        span,
                        site,
                    )))?);
                }
                measured.sort_by(|a, b| a.figure.total_cmp(&b.figure));
                let Measured { figure, p99_ms, resident } = measured.swap_remove(rounds / 2);
                let p99 = p99_ms.map_or("–".to_owned(), |ms| format!("{ms:.2} ms"));
                let (name, megabytes) = (contender.name(), resident / 1_000_000);
                println!("  {name:<10} {at:>10} {:>14}  p99 {p99:>11}  {megabytes:>5} MB", grouped(figure));
                let Growth { title, unit, of, .. } = *growth;
                points.push(Point { title, unit, of, contender: *contender, at: *at, figure, p99_ms, resident });
            }
        }
    }
    println!("\n{:.1} minutes", began.elapsed().as_secs_f64() / 60.0);
    let grown = Grown { of, rounds, points };
    fs::write(out.join("growth.json"), serde_json::to_string_pretty(&grown)? + "\n")?;
    fs::write(out.join("growth.svg"), picture(&grown))?;
    Ok(())
}

async fn measure(what: What, contender: Contender, at: usize, span: Duration, site: &Site<'_>) -> Result<Measured> {
    let site = &Site { processors: if let What::Processors(_) = what { at } else { 1 }, alone: true, ..*site };
    let (role, upstream) = match what {
        What::Connections | What::Body | What::Processors(Load::Requests) => {
            let upstream = upstream::start(if let What::Body = what { at } else { 1024 }).await?;
            (Role::Proxy { upstream, tls: false }, Some(upstream))
        }
        What::Clients | What::Processors(Load::Deliveries) => (Role::Broadcast { tls: false }, None),
        What::Channels => (Role::Pusher, None),
    };
    let running = contender.start(&role, site)?;
    let address = running.address;
    if let What::Connections | What::Processors(Load::Requests) = what {
        let count = if let What::Connections = what { at } else { AT_ONCE };
        // As many are open, and as many ask at once whatever that is.
        let streams = http::open(address, count).await?;
        let (_, streams) = http::keep_asking_in_turn(streams, address, AT_ONCE, Instant::now() + WARM_UP).await?;
        let before = running.usage();
        let (tally, _streams) = http::keep_asking_in_turn(streams, address, AT_ONCE, Instant::now() + span).await?;
        return Ok(measured(&running, before, &tally));
    }
    if upstream.is_some() {
        let ask = Ask { count_bytes: true, ..Ask::get(Wire::Plain, 4) };
        let streams = http::open(address, ask.connections).await?;
        let (_, streams) = http::keep_asking(streams, address, &ask, Instant::now() + WARM_UP).await?;
        let before = running.usage();
        let (tally, _streams) = http::keep_asking(streams, address, &ask, Instant::now() + span).await?;
        return Ok(measured(&running, before, &tally));
    }
    if let What::Channels = what {
        return channels(&running, at, span).await;
    }
    let clients = if let What::Clients = what { at } else { 1_000 };
    let visit = Visit::plain("/api/ws");
    let sockets = websocket::open_many(address, clients, false, |_| visit.clone()).await?;
    let before = running.usage();
    let target = || (0, clients as u64);
    let tally = websocket::fan_out(sockets, visit.message(64), 1, Instant::now() + span, target).await?;
    Ok(measured(&running, before, &tally))
}

/// As many channels as asked for, each with one subscriber; events go to one after another.
async fn channels(running: &Running, count: usize, span: Duration) -> Result<Measured> {
    let clients = count.min(SUBSCRIBERS);
    let mut sockets = Vec::with_capacity(clients);
    for client in 0..clients {
        let mut socket = websocket::open(running.address, &Visit::pusher("room"), false).await?;
        for channel in (client..count).step_by(clients) {
            websocket::say(&mut socket, &pusher::subscription_to(&format!("room-{channel}"))).await?;
            // Whoever may have no more channels is told so, and would hear nothing.
            websocket::expect(&mut socket, "{\"event\":\"pusher_internal:subscription_succeeded\"").await?;
        }
        sockets.push(socket);
    }
    let (hearing, _writers) = websocket::Hearing::of(sockets);
    let mut rest = Rest::new(Api::Pusher, running.address);
    let (mut tally, mut said) = (Tally::default(), 0_u64);
    let before = running.usage();
    let end = Instant::now() + span;
    while Instant::now() < end {
        let start = Instant::now();
        // Far from the one before, whatever order they are kept in.
        let channel = (said.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17) as usize % count;
        said += 1;
        rest.publish(&format!("room-{channel}"), 64).await?;
        hearing.all(said).await?;
        tally.add(start.elapsed(), 1);
    }
    Ok(measured(running, before, &tally))
}

fn measured(running: &Running, before: crate::process::Usage, tally: &Tally) -> Measured {
    let used = running.usage().since(before);
    Measured { figure: tally.work as f64 / used.cpu().max(0.01), p99_ms: tally.quantile(0.99), resident: used.resident }
}

const WIDTH: f64 = 820.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 720.0;
const HEIGHT: f64 = 130.0;
/// Lines of text need so much.
const APART: f64 = 13.0;

/// A small picture for each growth: both axes by powers of ten.
fn picture(grown: &Grown) -> String {
    let mut body = String::new();
    let mut top = 74.0;
    for growth in GROWTHS {
        let own = grown.points.iter().filter(|point| point.title == growth.title && point.of == growth.of);
        if let Some(drawn) = draw(growth, &own.collect::<Vec<_>>(), top) {
            body.push_str(&drawn);
            top += HEIGHT + 66.0;
        }
    }
    let Run { date, host, build, .. } = &grown.of;
    let said = format!(
        "{date}, {build}; {}, {} processors, {}; the median of {} rounds",
        host.processor, host.processors, host.kernel, grown.rounds
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" font-family=\"system-ui,sans-serif\" font-size=\"11\">\
         <style>.t{{font-weight:600}}.u{{fill:#777;font-size:9px}}.a{{stroke:#ccc;fill:none}}.d{{stroke:#d9480f;fill:none;stroke-width:2}}\
         .p{{stroke:#adb5bd;fill:none;stroke-width:2}}.df{{fill:#d9480f}}.pf{{fill:#adb5bd}}text{{fill:#333}}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><text x=\"10\" y=\"20\" font-size=\"15\">How figures grow</text>\
         <text x=\"10\" y=\"36\" class=\"u\">{said}</text>{body}</svg>\n"
    )
}

fn draw(growth: &Growth, points: &[&Point], top: f64) -> Option<String> {
    let most = points.iter().map(|point| point.figure).reduce(f64::max)?;
    let least = points.iter().map(|point| point.figure).fold(most, f64::min) / 1.5;
    let (first, last) = (growth.points[0] as f64, growth.points[growth.points.len() - 1] as f64);
    let x = |at: usize| LEFT + (at as f64 / first).ln() / (last / first).ln() * (RIGHT - LEFT);
    let y = |figure: f64| top + HEIGHT - (figure / least).ln() / (most / least).ln() * HEIGHT;
    let bottom = top + HEIGHT;
    let mut body = format!(
        "<text x=\"10\" y=\"{:.0}\" class=\"t\">{}, {} by {}</text><path d=\"M{LEFT} {top:.0}V{bottom:.0}H{RIGHT}\" class=\"a\"/>",
        top - 18.0,
        growth.title,
        growth.unit,
        growth.of
    );
    let text = |x: f64, y: f64, anchor: &str, class: &str, said: &str| {
        format!("<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\" class=\"{class}\">{said}</text>")
    };
    for at in growth.points {
        body.push_str(&text(x(*at), bottom + APART, "middle", "u", &grouped(*at as f64)));
    }
    let mut named: Vec<f64> = Vec::new();
    for contender in growth.contenders {
        let line: Vec<_> = points.iter().filter(|point| point.contender == *contender).collect();
        let Some(end) = line.last() else { continue };
        let class = if *contender == Doorway { "d" } else { "p" };
        let path: Vec<_> = line.iter().map(|point| format!("{:.0} {:.0}", x(point.at), y(point.figure))).collect();
        let _ = write!(body, "<path d=\"M{}\" class=\"{class}\"/>", path.join("L"));
        for point in &line {
            let (x, y) = (x(point.at), y(point.figure));
            // Whoever is above has its figures above.
            let above = points.iter().all(|other| other.at != point.at || other.figure <= point.figure);
            let _ = write!(body, "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"2.5\" class=\"{class}f\"/>");
            let beside = if above { y - 6.0 } else { y + APART + 1.0 };
            body.push_str(&text(x, beside, "middle", "u", &short(point.figure)));
        }
        let near = named.iter().find(|other| (y(end.figure) - **other).abs() < APART).copied();
        let place = near.map_or(y(end.figure), |other| other + if y(end.figure) < other { -APART } else { APART });
        named.push(place);
        body.push_str(&text(RIGHT + 26.0, place + 4.0, "start", "", contender.name()));
    }
    Some(body)
}

/// Three digits, and thousands, millions or billions.
fn short(value: f64) -> String {
    match value {
        1e9.. => format!("{:.2} G", value / 1e9),
        1e6.. => format!("{:.0} M", value / 1e6),
        1e4.. => format!("{:.1} k", value / 1e3),
        _ => grouped(value),
    }
}
