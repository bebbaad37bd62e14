//! Commands that are not done at once: the authorizer thinks about one, or the broker is asked, and others wait behind.

use std::collections::VecDeque;
use std::pin::Pin;

use crate::realtime::entrance::authorizer::Deciding;
use crate::realtime::hub::Authority;
use crate::realtime::vocabulary::{Channel, Command, Event, Ref, Refusal};

/// The command that the authorizer thinks about, and those behind it.
pub struct PendingCommands {
    pub asking: Option<(Deciding, Command)>,
    /// Further commands from the authorizer's answer, which bounds their number.
    pub then: std::vec::IntoIter<Command>,
    /// What is published comes to this client by its mailbox. What must not overtake it goes there too, and so does all
    /// that is behind that.
    pub has_published: bool,
    pub queues: bool,
    pub waiting: VecDeque<Command>,
    /// Those that wait for the broker, where there is one.
    pub shared: SharedCommands,
}

impl PendingCommands {
    pub fn new(asking: Deciding, about: Command) -> Box<PendingCommands> {
        let mut pending = PendingCommands::idle();
        pending.asking = Some((asking, about));
        pending
    }

    /// Nothing is pending yet.
    pub fn idle() -> Box<PendingCommands> {
        Box::new(PendingCommands {
            asking: None,
            then: Vec::new().into_iter(),
            has_published: false,
            queues: false,
            waiting: VecDeque::new(),
            shared: SharedCommands::default(),
        })
    }

    /// What is left of `before` comes once what is pending here is done.
    pub fn go_on_with(&mut self, before: PendingCommands) {
        self.then = before.then;
        self.waiting.extend(before.waiting);
        self.has_published |= before.has_published;
        self.queues |= before.queues;
    }
}

/// Those under way, and those behind them. Bounded by the commands that may wait, and by those of one answer of the app.
#[derive(Default)]
pub struct SharedCommands {
    pub running: VecDeque<Running>,
    pub behind: VecDeque<(Command, Authority)>,
}

/// One that waits.
pub struct Running {
    pub outcome: Pin<Box<dyn Future<Output = Result<Option<Event>, Refusal>> + Send>>,
    pub ticket: Ref,
    pub about: Option<Channel>,
    /// Carried out once the channel is here.
    pub then: Option<(Command, Authority)>,
}

impl SharedCommands {
    pub fn is_busy(&self) -> bool {
        !self.running.is_empty() || !self.behind.is_empty()
    }
}
