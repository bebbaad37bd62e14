//! A client of the hub for the time of one request: whoever shows a token is bound as on a socket, and the app is asked
//! about it likewise; whoever shows a key is the app.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Call;
use super::caller::Caller;
use super::rates::RequestRate;
use crate::http::Failure;
use crate::realtime::ably::capability::Operation;
use crate::realtime::ably::machine::refused;
use crate::realtime::ably::socket::without_secrets;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::{AblyDoor, DIALECT};
use crate::realtime::entrance::admission::ConnectionPermit;
use crate::realtime::entrance::authorizer::{Authorizer, ConnectionInfo, Left};
use crate::realtime::entrance::{Admitted, AuthorizeAt, Vouched};
use crate::realtime::hub::{Authority, Client};
use crate::realtime::vocabulary::{
    Channel, Command, Identity, Moment, Position, PublishSeveral, Receipt, Refusal, Subscribe,
};
use crate::shares::Holder;

/// Whoever asks, at the hub.
pub struct Visit {
    client: Client,
    authorizer: Option<(Arc<dyn Authorizer>, Arc<ConnectionInfo>)>,
    /// Where it has a token: what it has left over all of its requests.
    rate: Option<Arc<Mutex<RequestRate>>>,
    _permit: Option<ConnectionPermit>,
}

impl AblyDoor {
    /// Lets whoever asks in for this request.
    ///
    /// # Errors
    /// 40300 where the app says no; 42910 and 50003 for who may come back.
    pub(super) async fn visit(&self, call: &Call<'_>, caller: &Caller) -> Result<Visit, AblyError> {
        if caller.auth.is_key {
            let identity = caller.client_id.as_ref().map(|client| Identity { user: Arc::clone(client), info: None });
            let full = || AblyError::new(50003, 503, "Too many clients are here");
            let mut client = self.hub.join(Holder::of(call.facts.client)).ok_or_else(full)?;
            identity.into_iter().for_each(|identity| client.identify(identity));
            client.grant(caller.auth.rights(call.now));
            return Ok(Visit { client, authorizer: None, rate: None, _permit: None });
        }
        let admitted = self.admit_caller(call, caller).await?;
        let rate = self.rates.of(caller, call.facts.client, call.now);
        let (client, authorizer) = (admitted.client, admitted.authorizer);
        Ok(Visit { client, authorizer, rate, _permit: Some(admitted.permit) })
    }

    /// Lets whoever asks in as a client that comes with a socket is.
    ///
    /// # Errors
    /// 40300 where the app says no; 42910 and 50003 for who may come back.
    pub(super) async fn admit_caller(&self, call: &Call<'_>, caller: &Caller) -> Result<Admitted, AblyError> {
        let identity = caller.client_id.as_ref().map(|client| Identity { user: Arc::clone(client), info: None });
        let head = without_secrets(call.head);
        let vouched = (DIALECT, Vouched { identity, rights: caller.auth.rights(call.now) });
        let when = AuthorizeAt::UpgradeWithoutChannel;
        let admitted = self.entrance.admit_vouched(call.config, &head, call.facts, vouched, when).await;
        admitted.map_err(|rejection| {
            let failure = Failure::from(rejection);
            let (code, status) = match failure.status.as_u16() {
                429 => (42910, 429),
                503 => (50003, 503),
                _ => (40300, 403),
            };
            AblyError::new(code, status, failure.reason.as_ref())
        })
    }

    /// The channel, of which the caller may know what is there or what was said.
    ///
    /// # Errors
    /// 40010, 40160, and why it may not come at all.
    pub(super) async fn readable(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
        operation: Operation,
    ) -> Result<Channel, AblyError> {
        // What its credentials do not allow, nobody is asked about.
        caller.channel(name, operation)?;
        let mut reader = self.reader(call, caller).await?;
        let channel = caller.readable(reader.as_mut(), name, operation).await?;
        self.mirrored(&channel).await?;
        Ok(channel)
    }

    /// Sees to it that a channel is here as it is on all doors.
    ///
    /// # Errors
    /// 50003.
    pub(super) async fn mirrored(&self, channel: &Channel) -> Result<(), AblyError> {
        self.hub.mirror(channel, Holder::Trusted).await.map_err(|refusal| refused(&refusal))
    }

    /// Sees to it that what it has had up to a position is here too.
    ///
    /// # Errors
    /// 50003.
    pub(super) async fn caught_up(&self, channel: &Channel, known: Option<Position>) -> Result<(), AblyError> {
        self.hub.catch_up(channel, known).await.map_err(|refusal| refused(&refusal))
    }

    /// Whoever asks, let in to read in as many channels as the request names; none for the app, which reads whatever its key
    /// names.
    ///
    /// # Errors
    /// Why it may not come at all.
    pub(super) async fn reader(&self, call: &Call<'_>, caller: &Caller) -> Result<Option<Visit>, AblyError> {
        Ok(if caller.auth.is_key { None } else { Some(self.visit(call, caller).await?) })
    }
}

impl Caller {
    /// The channel `name`, of which it may know, `reader` being it.
    ///
    /// # Errors
    /// 40010, 40160.
    pub(super) async fn readable(
        &self,
        reader: Option<&mut Visit>,
        name: &str,
        operation: Operation,
    ) -> Result<Channel, AblyError> {
        let channel = self.channel(name, operation)?;
        if let Some(reader) = reader {
            match operation {
                Operation::History => reader.may_read_past(&channel).await?,
                _ => reader.may_read(&channel).await?,
            }
        }
        Ok(channel)
    }
}

impl Visit {
    /// May it read what was said in a channel?
    ///
    /// # Errors
    /// 40160.
    pub async fn may_read_past(&mut self, channel: &Channel) -> Result<(), AblyError> {
        let authority = self.asked_to_hear(channel).await.map_err(|refusal| refused(&refusal))?;
        self.client.may_read_past(channel, authority).map_err(|refusal| refused(&refusal))
    }

    /// May it know who is in a channel?
    ///
    /// # Errors
    /// 40160.
    pub async fn may_read(&mut self, channel: &Channel) -> Result<(), AblyError> {
        let authority = self.asked_to_hear(channel).await.map_err(|refusal| refused(&refusal))?;
        self.client.may_read(channel, authority).map_err(|refusal| refused(&refusal))
    }

    async fn asked_to_hear(&mut self, channel: &Channel) -> Result<Authority, Refusal> {
        let Some((authorizer, connection)) = &self.authorizer else { return Ok(Authority::Client) };
        let wish = Command::Subscribe(Subscribe::to(channel.clone()));
        let Some(asking) = authorizer.authorize(connection, self.client.identity(), &wish) else {
            return Ok(Authority::Client);
        };
        asking.await.outcome.map(|_| Authority::Consent)
    }

    /// Publishes several in one channel: all of them, or none. Nothing is said of those that the app has kept back.
    ///
    /// # Errors
    /// 40160, 40009, 42911, 50003.
    pub async fn publish(&mut self, several: PublishSeveral, now: Moment) -> Result<Vec<Receipt>, AblyError> {
        let count = several.drafts.len();
        let channel = several.channel.clone();
        if let Some(rate) = &self.rate {
            RequestRate::count(rate, &self.client, (&channel, count), now).await?;
        }
        let mut command = Command::PublishSeveral(Box::new(several));
        let mut authority = Authority::Client;
        if let Some((authorizer, connection)) = &self.authorizer
            && let Some(asking) = authorizer.authorize(connection, self.client.identity(), &command)
        {
            // The app's consent is a right to publish, not to flood.
            Visit::counted(&self.rate, &mut self.client, |client| client.count_publish(&channel, count, now))?;
            let allow = asking.await.outcome.map_err(|refusal| refused(&refusal))?;
            authority = Authority::Consent;
            command = allow.instead.unwrap_or(command);
        }
        let Command::PublishSeveral(several) = command else {
            return Ok(vec![Receipt { position: None, unix_ms: now.unix_ms }; count]);
        };
        if self.client.hub().is_shared() {
            let said = Visit::counted(&self.rate, &mut self.client, |client| {
                client.publish_several_shared(*several, authority, now)
            })?;
            return said.await.map_err(|refusal| refused(&refusal));
        }
        Visit::counted(&self.rate, &mut self.client, |client| client.publish_several(*several, authority, now))
    }

    /// Has `client` do something that counts against the rates of channels.
    fn counted<T>(
        rate: &Option<Arc<Mutex<RequestRate>>>,
        client: &mut Client,
        act: impl FnOnce(&mut Client) -> Result<T, Refusal>,
    ) -> Result<T, AblyError> {
        let mut rate = rate.as_ref().map(|rate| rate.lock());
        if let Some(rate) = &mut rate {
            client.swap_rates(&mut rate.channels);
        }
        let done = act(client);
        if let Some(rate) = &mut rate {
            client.swap_rates(&mut rate.channels);
        }
        done.map_err(|refusal| refused(&refusal))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some((authorizer, connection)) = &self.authorizer {
            authorizer.disconnected(connection, self.client.identity(), Left::whole("gone"));
        }
    }
}
