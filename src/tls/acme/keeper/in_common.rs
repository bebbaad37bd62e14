//! What a name has in common with other doors: whose turn it is to order, and what came of it.

use std::time::Duration;

use tracing::{info, warn};

use super::{Keeper, Known, now};
use crate::tls::acme::schedule::{Held, State};
use crate::tls::acme::sharing::{CommonName, DoorTurn, DoorsAway, KeptForAll};

/// Before it is asked again whose turn it is, where another door orders, or where that cannot be known.
const OTHERS_DELAY: Duration = Duration::from_secs(2);
const AWAY_DELAY: Duration = Duration::from_secs(10);

/// What is the same for other doors of the site.
impl Keeper<'_> {
    fn common(&self) -> Option<CommonName<'_>> {
        self.shared.common.as_ref()?.of(&self.config, self.domain)
    }

    pub(super) fn is_shared(&self) -> bool {
        self.common().is_some()
    }

    /// Takes what another door has ordered since, and shows what it orders with; gives what is here where that is later.
    /// Where nothing can be known, what is here counts.
    pub(super) async fn look_at_others(&mut self) {
        let Some(common) = self.common() else { return };
        if common.show_what_others_do().await.is_err() {
            return;
        }
        let Ok(kept) = common.kept().await else { return };
        let (certificate, state) = kept.map_or((None, None), |kept| (kept.certificate, Some(kept.state)));
        let (ours, theirs) = (self.held(), certificate.as_ref().and_then(|(_, chain)| Known::read(chain.as_bytes())));
        // The latest counts, not the one that lasts longest: an authority's lives become shorter.
        let given = |held: Option<&Held>| held.filter(|held| held.not_after > now()).map_or(0, |held| held.not_before);
        let (our_time, their_time) = (given(ours.as_ref()), given(theirs.as_ref().map(|known| &known.held)));
        if our_time > their_time {
            // They are told of it once.
            self.tell_others().await;
        }
        let Some(state) = state else { return };
        match certificate.zip(theirs).filter(|_| their_time > our_time) {
            Some((pair, theirs)) => self.take_over(pair, &theirs.held.id, &state).await,
            None => self.state.agree(&state),
        }
    }

    async fn take_over(&mut self, (key, chain): (String, String), id: &str, state: &State) {
        // A folder that another door of this machine has is that door's to write.
        let stored = match self.shared.registrar.store(&self.config).await {
            Ok(_) => self.store.begin(&key).and_then(|number| self.store.commit(number, &chain)),
            Err(why) => Err(why),
        };
        match stored {
            Ok(()) => {
                self.state.took_over(state, id);
                self.keep();
                info!(name = self.domain, "another door has ordered a certificate");
                self.put_in_use();
            }
            Err(why) => warn!(name = self.domain, %why, "the certificate of another door is not kept"),
        }
    }

    /// Lets this door alone order; nothing is to be let where it is the only one. Where it is not its turn, the pause until it
    /// may be.
    pub(super) async fn turn(&self) -> Result<Option<DoorTurn>, Duration> {
        let Some(common) = self.common() else { return Ok(None) };
        match common.claim().await {
            Ok(Some(turn)) => Ok(Some(turn)),
            Ok(None) => Err(OTHERS_DELAY),
            Err(DoorsAway) => {
                if self.shared.said_away.may() {
                    warn!(name = self.domain, "no certificate is ordered while Redis is away: other doors might, too");
                }
                Err(AWAY_DELAY)
            }
        }
    }

    /// Has other doors know what is in use here, and what is known of it.
    pub(super) async fn tell_others(&self) {
        let Some(common) = self.common() else { return };
        let mut state = self.state.clone();
        // Its key is on the disk here.
        state.order = None;
        common.keep(&KeptForAll { certificate: self.store.pair(), state }).await;
    }
}
