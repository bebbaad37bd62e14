//! The seam of the protocols: each has a door, which knows its own requests and answers them.

use std::sync::Arc;

use http::StatusCode;

use super::entrance::Entrance;
use super::hub::Hub;
use super::hub::parts::Part;
use super::hub::policy::Demand;
use super::peer::Peers;
use super::session::Sessions;
use crate::callbacks::App;
use crate::drain::Signal;
use crate::http::{Failure, Request, Response, ResponseFuture};
use crate::settings::Section;
use crate::telemetry::Registry;

/// The way in for clients of one protocol.
pub trait Door: Send + Sync + Sized + 'static {
    /// The protocol's section of the config.
    type Config: ProtocolConfig;

    /// The door as `config` has it, built on what all doors share.
    fn new(config: &Self::Config, ground: &mut Ground<'_>) -> Self;

    /// What `request` means here; `None` where it is not this protocol's. Doors are asked in the order of their list, and
    /// for every request of the site: what is not theirs should cost next to nothing.
    fn find(self: &Arc<Self>, request: &Request) -> Option<Found>;

    /// The same for a request of an app's server, which came in by the operator's listener.
    fn find_from_app(self: &Arc<Self>, _request: &Request) -> Option<Found> {
        None
    }

    /// Takes over another section (SIGHUP). Clients that are in stay; new ones are under the new settings.
    fn reload(&self, config: &Self::Config);
}

/// A protocol's part of `[realtime]`.
pub trait ProtocolConfig: Sized {
    /// That of a file which says nothing of it, where the hub is at the path `hub`.
    fn at(hub: &str) -> Self;

    /// Reads it out of `[realtime]`.
    fn read(realtime: &Section, hub: &str) -> Self;

    /// What the protocol needs of the hub's channels, whatever their policies say. Default nothing.
    fn demands(&self) -> Vec<Demand> {
        Vec::new()
    }

    /// Whether clients edit documents by it: those are this door's own. Default no.
    fn edits_documents(&self) -> bool {
        false
    }

    /// Whose channels are whose, where several that know nothing of each other share the hub. Default nobody's.
    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }
}

/// A request that a door has taken for its own, with what it found out about it: the answer is by the same config.
pub struct Found(Box<dyn FnOnce(Request) -> ResponseFuture + Send>);

impl Found {
    pub fn new<F, A>(answer: F) -> Found
    where
        F: FnOnce(Request) -> A + Send + 'static,
        A: Future<Output = Result<Response, Failure>> + Send + 'static,
    {
        Found(Box::new(move |request| Box::pin(answer(request))))
    }

    /// Answers the request that was found.
    pub fn answer(self, request: Request) -> ResponseFuture {
        (self.0)(request)
    }
}

/// What doors are built on: they share the hub, what every client passes, and how sessions begin.
pub struct Ground<'a> {
    pub hub: &'a Arc<Hub>,
    pub entrance: &'a Arc<Entrance>,
    pub sessions: &'a Sessions,
    pub app: &'a Arc<App>,
    pub drain: &'a Signal,
    /// The other doors, where requests are forwarded.
    pub peers: Option<&'a Arc<Peers>>,
    pub registry: &'a mut Registry,
}

/// The doors in order; `C` is the config that has a section for each.
pub struct Doors<C>(Vec<Box<dyn Listed<C>>>);

impl<C> Default for Doors<C> {
    fn default() -> Self {
        Doors(Vec::new())
    }
}

impl<C: 'static> Doors<C> {
    /// One more, behind those that are there; `section` is where its config is.
    pub fn with<D: Door>(mut self, door: D, section: fn(&C) -> &D::Config) -> Doors<C> {
        self.0.push(Box::new(DoorEntry { door: Arc::new(door), section }));
        self
    }

    /// See [`Door::find`].
    pub fn find(&self, request: &Request) -> Option<Found> {
        self.0.iter().find_map(|door| door.find(request))
    }

    /// See [`Door::find_from_app`].
    pub fn find_from_app(&self, request: &Request) -> Option<Found> {
        self.0.iter().find_map(|door| door.find_from_app(request))
    }

    /// Hands each its section.
    pub fn reload(&self, config: &C) {
        self.0.iter().for_each(|door| door.reload(config));
    }
}

/// Answers what other doors forward of clients.
pub fn forwarded<C: 'static>(doors: &Doors<C>, request: Request) -> ResponseFuture {
    match doors.find(&request) {
        Some(found) => found.answer(request),
        None => Box::pin(async { Err(Failure::client(StatusCode::NOT_FOUND, "There is nothing here.")) }),
    }
}

/// A door whatever its config is.
trait Listed<C>: Send + Sync {
    fn find(&self, request: &Request) -> Option<Found>;
    fn find_from_app(&self, request: &Request) -> Option<Found>;
    fn reload(&self, config: &C);
}

struct DoorEntry<D: Door, C> {
    door: Arc<D>,
    section: fn(&C) -> &D::Config,
}

impl<D: Door, C> Listed<C> for DoorEntry<D, C> {
    fn find(&self, request: &Request) -> Option<Found> {
        self.door.find(request)
    }

    fn find_from_app(&self, request: &Request) -> Option<Found> {
        self.door.find_from_app(request)
    }

    fn reload(&self, config: &C) {
        self.door.reload((self.section)(config));
    }
}
