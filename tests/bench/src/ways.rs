//! Over long and narrow ways: what a client far away waits for. No CPU time here, the way is what is scarce.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use ::ways::measures::{self, UPLOAD};
use ::ways::visitor::{Version, Visitor, Wrong};
use ::ways::{Conditions, Patience, Way};
use anyhow::{Context, Result, anyhow};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::oneshot;

use crate::contender::{Contender, Role, Running, Site};
use crate::upstream;

const CONTENDERS: [Contender; 3] = [Contender::Doorway, Contender::Nginx, Contender::Caddy];
const MBIT: u64 = 1_000_000;
const DOWNLOADS: usize = 40;
/// What many a NAT has patience for, and a little more.
const SILENCE: Duration = Duration::from_secs(65);

struct Case {
    title: &'static str,
    unit: &'static str,
    /// A round trip in milliseconds.
    round_trip: u64,
    rate: u64,
    less_is_better: bool,
    /// Contenders side by side, each on a way of its own, and once: it takes a minute and measures no speed.
    at_once: bool,
    measure: fn(&Station) -> Result<f64>,
}

const fn case(
    title: &'static str,
    unit: &'static str,
    round_trip: u64,
    rate: u64,
    measure: fn(&Station) -> Result<f64>,
) -> Case {
    Case { title, unit, round_trip, rate, less_is_better: true, at_once: false, measure }
}

const fn upload(title: &'static str, round_trip: u64, measure: fn(&Station) -> Result<f64>) -> Case {
    Case { less_is_better: false, ..case(title, "MB/s", round_trip, 100 * MBIT, measure) }
}

const CASES: &[Case] = &[
    upload("20 MB up by HTTP/2, 150 ms, 100 Mbit/s", 150, |station| station.upload(Version::Http2)),
    upload("the same by HTTP/1.1", 150, |station| station.upload(Version::Http1)),
    upload("20 MB up by HTTP/2, 40 ms, 100 Mbit/s", 40, |station| station.upload(Version::Http2)),
    upload("the same by HTTP/1.1", 40, |station| station.upload(Version::Http1)),
    case("a small answer behind a download, 150 ms, 5 Mbit/s", "s", 150, 5 * MBIT, |station| {
        station.visit(measures::beside_a_download).map(|(beside, _)| beside.as_secs_f64())
    }),
    case("an urgent 60 KB beside eight downloads, 150 ms, 5 Mbit/s", "s", 150, 5 * MBIT, |station| {
        station.visit(measures::urgent_beside_eight).map(|(beside, _)| beside.as_secs_f64())
    }),
    case("the first 9 KB of an answer by HTTP/2, 150 ms", "ms", 150, 100 * MBIT, |station| {
        station.visit(measures::first_bytes).map(|(first, _)| first.as_secs_f64() * 1000.0)
    }),
    case("kernel memory of a download that nobody reads on", "KB", 150, 100 * MBIT, |station| {
        let downloads = station.visit(|visitor| measures::slow_downloads(visitor, DOWNLOADS))?;
        station.way.settle();
        let held = station.way.server.held(station.app.port())?;
        drop(downloads);
        Ok(held as f64 / DOWNLOADS as f64 / 1000.0)
    }),
    Case {
        at_once: true,
        ..case(
            "a request on a connection silent for 65 s, a NAT that forgets after 60",
            "s",
            40,
            100 * MBIT,
            |station| {
                station.way.nat(Patience::Vanish(Duration::from_secs(60)));
                station
                    .visit(|visitor| measures::after_silence(visitor, Version::Http2, SILENCE))
                    .map(|time| time.as_secs_f64())
            },
        )
    },
];

/// Measures everything and says it as a table.
pub fn run(site: &Site, rounds: usize) -> Result<()> {
    let mut table = format!(
        "| seen |{}\n|---|{}\n",
        CONTENDERS.map(|one| format!(" {} |", one.name())).concat() + " ours ÷ the best peer |",
        "---|".repeat(4)
    );
    for case in CASES {
        let measured: Vec<Vec<Result<f64>>> = if case.at_once {
            thread::scope(|scope| {
                let all = CONTENDERS.map(|contender| scope.spawn(move || vec![measure(case, contender, site)]));
                all.into_iter().map(|one| one.join().expect("it does not panic")).collect()
            })
        } else {
            // Nobody is always first.
            let mut measured: Vec<_> = CONTENDERS.iter().map(|_| Vec::new()).collect();
            for round in 0..rounds {
                for turn in 0..CONTENDERS.len() {
                    let one = (turn + round) % CONTENDERS.len();
                    measured[one].push(measure(case, CONTENDERS[one], site));
                }
            }
            measured
        };
        let figures: Vec<Option<f64>> = measured.into_iter().map(median).collect();
        let better = |one: f64, other: f64| if case.less_is_better { other / one } else { one / other };
        let best = figures[1..]
            .iter()
            .flatten()
            .copied()
            .reduce(|one, other| if better(one, other) > 1.0 { one } else { other });
        let ratio = figures[0].zip(best).map_or("–".to_owned(), |(ours, best)| format!("{:.2}", better(ours, best)));
        let figure =
            |figure: &Option<f64>| figure.map_or(" none |".to_owned(), |figure| format!(" {} |", short(figure)));
        let row =
            format!("| {} ({}) |{} {ratio} |", case.title, case.unit, figures.iter().map(figure).collect::<String>());
        eprintln!("{row}");
        table += &(row + "\n");
    }
    println!("{table}Above 1 in the right column is better than the best peer.");
    Ok(())
}

/// The middle one; none where any went wrong.
fn median(measured: Vec<Result<f64>>) -> Option<f64> {
    let mut figures = measured.into_iter().collect::<Result<Vec<f64>>>().ok()?;
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Three digits of it.
fn short(figure: f64) -> String {
    let decimals = if figure >= 100.0 {
        0
    } else if figure >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.decimals$}")
}

fn measure(case: &Case, contender: Contender, site: &Site) -> Result<f64> {
    let measured = Station::new(case, contender, site).and_then(|station| (case.measure)(&station));
    match &measured {
        Ok(figure) => eprintln!("{}, {}: {}", case.title, contender.name(), short(*figure)),
        Err(error) => eprintln!("{}, {}: {error:#}", case.title, contender.name()),
    }
    measured
}

/// A contender at the far end of a way.
struct Station {
    way: Way,
    app: SocketAddr,
    visitor: Visitor,
    _contender: Running,
    /// Its config and logs.
    _folder: tempfile::TempDir,
    /// Dropped, it ends the app.
    _app_stands: oneshot::Sender<()>,
}

impl Station {
    fn new(case: &Case, contender: Contender, site: &Site) -> Result<Station> {
        let way = Way::new(Conditions::long(Duration::from_millis(case.round_trip), case.rate))?;
        let (stands, ends) = oneshot::channel();
        let app = way.server.inside(|| start_app(ends))?;
        let role = Role::Proxy { upstream: app, tls: true };
        // Of its own, as several may be up at once.
        let folder = tempfile::tempdir_in(site.folder)?;
        let far = Site { far: true, folder: folder.path(), ..*site };
        let running = way.server.inside(|| contender.start(&role, &far))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&fs::read(site.certificate)?).map_err(|error| anyhow!("{error}"))?)?;
        let at = SocketAddr::from((way.server.address(), running.address.port()));
        let visitor = Visitor::new(at, "localhost", roots);
        Ok(Station { way, app, visitor, _contender: running, _folder: folder, _app_stands: stands })
    }

    fn visit<F, T>(&self, act: impl FnOnce(Visitor) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Wrong>> + Send + 'static,
        T: Send + 'static,
    {
        self.way.client.run(act(self.visitor.clone())).map_err(|wrong| anyhow!("{wrong}"))
    }

    fn upload(&self, version: Version) -> Result<f64> {
        let time = self.visit(|visitor| measures::upload(visitor, version))?;
        Ok(UPLOAD as f64 / time.as_secs_f64() / 1e6)
    }
}

/// An app on a thread of its own, until the other end of `ends` is dropped.
fn start_app(ends: oneshot::Receiver<()>) -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    thread::spawn(move || {
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener that does not block");
            tokio::select! {
                _ = ends => {}
                () = upstream::serve_as_asked(listener) => {}
            }
        });
    });
    Ok(address)
}
