//! Who is in a channel, and who was.

use super::Call;
use super::answer::Answer;
use super::caller::Caller;
use super::page::PageRequest;
use super::visit::Visit;
use crate::http::query::parameter;
use crate::realtime::ably::AblyDoor;
use crate::realtime::ably::capability::Operation;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::presence::AblyPresence;

impl AblyDoor {
    pub(super) async fn read_members(&self, call: &Call<'_>, caller: &Caller, name: &str) -> Result<Answer, AblyError> {
        let page = PageRequest::read(call.query())?;
        caller.channel(name, caller.knows_members(name))?;
        let mut reader = self.reader(call, caller).await?;
        let mut members = self.members_of(call, caller, reader.as_mut(), name).await?;
        let wanted = |key: &str, own: fn(&AblyPresence) -> Option<&str>| {
            let wanted = parameter(call.query(), key).filter(|wanted| !wanted.is_empty());
            move |member: &AblyPresence| wanted.as_deref().is_none_or(|wanted| own(member) == Some(wanted))
        };
        let is_client = wanted("clientId", |member| member.client_id.as_deref());
        let is_connection = wanted("connectionId", |member| member.connection_id.as_deref());
        members.retain(|member| is_client(member) && is_connection(member));
        let (items, next) = page.cut(members, key);
        Ok(call.answer(200, &items).with_links(page.links("presence", call.query(), next.as_deref())))
    }

    /// The members of a channel that `reader` may know of, in an order that stays.
    ///
    /// # Errors
    /// 40010, 40160.
    pub(super) async fn members_of(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        reader: Option<&mut Visit>,
        name: &str,
    ) -> Result<Vec<AblyPresence>, AblyError> {
        let channel = caller.readable(reader, name, caller.knows_members(name)).await?;
        self.mirrored(&channel).await?;
        let members = self.hub.members(&channel);
        let mut shown: Vec<_> = members.iter().map(|member| AblyPresence::present(member, call.style.format)).collect();
        shown.sort_by_cached_key(key);
        Ok(shown)
    }

    pub(super) async fn read_presence_history(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
    ) -> Result<Answer, AblyError> {
        let channel = self.readable(call, caller, name, Operation::History).await?;
        let page = PageRequest::read(call.query())?;
        let mut changes = Vec::new();
        // Changes of one millisecond are told apart by their order.
        let (mut last_ms, mut index) = (0, 0_u32);
        for change in self.hub.presence_changes(&channel, call.now) {
            index = if change.unix_ms == last_ms { index + 1 } else { 0 };
            last_ms = change.unix_ms;
            if (page.from_ms..=page.to_ms).contains(&change.unix_ms) {
                let shown = AblyPresence::changed(change.change, &change.member, change.unix_ms, call.style.format);
                changes.push((format!("{last_ms}-{index}"), shown));
            }
        }
        if page.backwards {
            changes.reverse();
        }
        let (items, next) = page.cut(changes, |(name, _)| name.clone());
        let items: Vec<_> = items.into_iter().map(|(_, change)| change).collect();
        Ok(call.answer(200, &items).with_links(page.links("history", call.query(), next.as_deref())))
    }
}

impl Caller {
    /// By which of its operations it may know who is in the channel `name`.
    fn knows_members(&self, name: &str) -> Operation {
        let operations = [Operation::Subscribe, Operation::Presence];
        let allowed = operations.into_iter().find(|operation| self.channel(name, *operation).is_ok());
        allowed.unwrap_or(Operation::Subscribe)
    }
}

/// What makes a member one.
fn key(member: &AblyPresence) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}:{}", text(&member.connection_id), text(&member.client_id))
}
