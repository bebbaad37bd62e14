//! Clients that lose their links and come back all at once, and what they missed comes to them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::ably::{self, Format, Place, Who};
use crate::process::Usage;
use crate::rest::{Api, Rest};
use crate::tally::Tally;
use crate::websocket::{self, Socket, Visit};

const CHANNEL: &str = "room";
/// What is said while nobody is there.
const MISSED: usize = 5;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What resuming took, in all and piece by piece.
#[derive(Default)]
pub struct Resumes {
    pub tally: Tally,
    pub usage: Usage,
}

/// `count` clients are cut off and resume, all of them at once, `times` over. Only their coming back is counted.
pub async fn all_at_once(
    address: SocketAddr,
    count: usize,
    times: usize,
    usage: impl Fn() -> Usage,
) -> Result<Resumes> {
    let mut places = vec![None; count];
    let mut clients = come_all(address, &places, 64, &mut Tally::default()).await?;
    let mut rest = Rest::new(Api::Ably, address);
    let mut resumes = Resumes::default();
    for time in 0..times {
        places = clients.drain(..).map(|(_socket, place)| Some(place)).collect();
        // Until the ends of all those links are known.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..MISSED {
            rest.publish(CHANNEL, 64).await?;
        }
        let before = usage();
        clients = come_all(address, &places, count, &mut resumes.tally).await?;
        let used = usage().since(before);
        let all = if time == 0 { used } else { used.and(resumes.usage) };
        resumes.usage = Usage { resident: used.resident, ..all };
    }
    Ok(resumes)
}

type Client = (Socket, Place);

/// Everybody comes, or comes back and hears what was missed; so many at once.
async fn come_all(
    address: SocketAddr,
    places: &[Option<Place>],
    at_once: usize,
    tally: &mut Tally,
) -> Result<Vec<Client>> {
    let mut coming = tokio::task::JoinSet::new();
    let mut clients = Vec::with_capacity(places.len());
    let mut waiting = places.iter().cloned().enumerate();
    loop {
        for (number, place) in waiting.by_ref().take(at_once - coming.len()) {
            // Both formats, in turns.
            let format = if number % 2 == 0 { Format::Msgpack } else { Format::Json };
            coming.spawn_local(async move { tokio::time::timeout(PATIENCE, come(address, format, place)).await? });
        }
        let Some(done) = coming.join_next().await else { return Ok(clients) };
        let (client, took) = done??;
        tally.add(took, 1);
        clients.push(client);
    }
}

async fn come(address: SocketAddr, format: Format, place: Option<Place>) -> Result<(Client, Duration)> {
    let start = Instant::now();
    let missed = if place.is_some() { MISSED } else { 0 };
    let visit = Visit::ably(CHANNEL, format, Who::Key, place);
    let (mut socket, mut place) = websocket::come(address, &visit, false).await?;
    let mut last = String::new();
    for _ in 0..missed {
        let (data, serial) = ably::heard(format, &websocket::read(&mut socket).await?)?;
        // Numbers of one length: what is later is greater.
        if data <= last {
            bail!("{data} came after {last}");
        }
        (last, place.serial) = (data, serial);
    }
    Ok(((socket, place), start.elapsed()))
}
