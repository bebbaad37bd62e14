//! Documents that several edit: what is asked, and of whom.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::contender::{Contender, Role, Running, Site};
use crate::process::Usage;
use crate::tally::Tally;
use crate::websocket::Visit;
use crate::{liveblocks, yjs};

/// Rooms with somebody in them.
const ROOMS: usize = 900;
/// What the first few cost is not what one more costs.
const FIRST_ROOMS: usize = 50;

/// What is done with them.
#[derive(Debug, Clone, Copy)]
pub enum Documents {
    /// By the protocol of y-websocket: so many write, and others read.
    Yjs { writers: usize, readers: usize },
    /// By that of Liveblocks, as all below: two edit a list.
    List,
    /// A hundred show their cursors.
    Cursors,
    /// A large document, for who comes newly.
    Load,
    /// The same after a start of the server.
    Open,
    /// Many rooms, each with one client.
    Rooms,
}

/// What was measured.
pub struct Measured {
    pub tally: Tally,
    pub used: Usage,
    /// What the case compares, where that is not work per CPU-second.
    pub figure: Option<f64>,
}

pub async fn measure(
    documents: Documents,
    contender: Contender,
    mut running: Running,
    span: Duration,
    site: &Site<'_>,
) -> Result<Measured> {
    let address = running.address;
    let before = Cell::new(running.usage());
    let start = || before.set(running.usage());
    let measured = |tally| Measured { tally, used: running.usage().since(before.get()), figure: None };
    match documents {
        Documents::Yjs { writers, readers } => {
            let path = if contender == Contender::Doorway { "/api/ws/yjs/room" } else { "/room" };
            Ok(measured(yjs::type_on(address, &Visit::plain(path), (writers, readers), span, start).await?))
        }
        Documents::List => Ok(measured(liveblocks::edit_list(address, span, start).await?)),
        Documents::Cursors => {
            let (began, took) = (Cell::new(Instant::now()), Cell::new(Duration::ZERO));
            let start = || (start(), began.set(Instant::now())).0;
            let end = || took.set(began.get().elapsed());
            let tally = liveblocks::cursors(address, 100, span, start, end).await?;
            let measured = measured(tally);
            let share = measured.used.cpu() / took.get().as_secs_f64();
            Ok(Measured { figure: Some(share * 100.0), ..measured })
        }
        Documents::Load => {
            liveblocks::make_large(address).await?;
            start();
            let (mut tally, end) = (Tally::default(), Instant::now() + span);
            while Instant::now() < end {
                let (took, bytes) = liveblocks::load(address).await?;
                tally.add(took, bytes);
            }
            Ok(measured(tally))
        }
        Documents::Open => {
            liveblocks::make_large(address).await?;
            drop(running);
            running = contender.start(&Role::Documents { anew: false }, site)?;
            let before = running.usage();
            let mut tally = Tally::default();
            let (took, bytes) = liveblocks::load(running.address).await?;
            tally.add(took, bytes);
            let used = running.usage().since(before);
            Ok(Measured { tally, used, figure: Some(used.cpu() * 1000.0) })
        }
        Documents::Rooms => {
            let first = liveblocks::enter_rooms(address, 0..FIRST_ROOMS).await?;
            start();
            let others = liveblocks::enter_rooms(address, FIRST_ROOMS..ROOMS).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let measured = measured(Tally::of(others.len() as u64));
            let grown = measured.used.resident.saturating_sub(before.get().resident);
            let figure = grown as f64 / others.len() as f64;
            drop(first);
            Ok(Measured { figure: Some(figure), ..measured })
        }
    }
}
