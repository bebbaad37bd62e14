//! What channels there are, and how many are in them.

use serde::Serialize;

use super::Call;
use super::answer::Answer;
use super::caller::Caller;
use super::page::PageRequest;
use crate::http::query::parameter;
use crate::realtime::ably::AblyDoor;
use crate::realtime::ably::capability::Operation;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::occupancy::OccupancyMetrics;
use crate::realtime::hub::{ChannelOverview, ChannelQuery};

/// Channels looked at for one page, at most.
const MAX_LOOKED_AT: usize = 10_000;

/// One channel at a glance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChannelDetails<'a> {
    channel_id: &'a str,
    name: &'a str,
    status: Status,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    is_active: bool,
    occupancy: StatusOccupancy,
}

#[derive(Debug, Serialize)]
struct StatusOccupancy {
    metrics: OccupancyMetrics,
}

impl<'a> ChannelDetails<'a> {
    fn of(name: &'a str, overview: Option<&ChannelOverview>) -> ChannelDetails<'a> {
        let occupancy = overview.map(|overview| overview.occupancy).unwrap_or_default();
        let is_active = occupancy.connections > 0 || occupancy.presence_members > 0;
        let status = Status { is_active, occupancy: StatusOccupancy { metrics: occupancy.into() } };
        ChannelDetails { channel_id: name, name, status }
    }
}

impl AblyDoor {
    pub(super) async fn look_at_channel(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        name: &str,
    ) -> Result<Answer, AblyError> {
        let channel = caller.channel(name, Operation::ChannelMetadata)?;
        self.mirrored(&channel).await?;
        let overview = self.hub.standing(&channel);
        Ok(call.answer(200, &ChannelDetails::of(name, overview.as_ref())))
    }

    pub(super) async fn list_channels(&self, call: &Call<'_>, caller: &Caller) -> Result<Answer, AblyError> {
        let page = PageRequest::read(call.query())?;
        if !caller.auth.capability.allows_somewhere(Operation::ChannelMetadata) {
            return Err(AblyError::new(40160, 401, "The capability does not allow channel-metadata"));
        }
        let app = &caller.auth.app;
        let prefix = format!("{}{}", app.prefix(), parameter(call.query(), "prefix").unwrap_or_default());
        let mut after = page.cursor.as_ref().map(|cursor| format!("{}{cursor}", app.prefix()));
        let (mut found, mut looked_at) = (Vec::new(), 0);
        // Most are the caller's own; what is not is passed over, up to a bound.
        let next = loop {
            let most = page.limit - found.len();
            let query = ChannelQuery { prefix: prefix.clone(), after, most, with_users: false };
            let (listed, next) = self.hub.list_channels(&query).await;
            looked_at += most;
            found.extend(listed.into_iter().map(|listed| listed.overview).filter(|overview| {
                let name = app.name(&overview.name);
                let is_active = overview.subscribers > 0 || overview.members > 0;
                let may_look = |name| caller.auth.capability.allows(Operation::ChannelMetadata, name);
                is_active && name.is_some_and(may_look)
            }));
            let Some(next) = next else { break None };
            let name = next.as_str().strip_prefix(app.prefix()).unwrap_or_default().to_owned();
            if found.len() >= page.limit || looked_at >= MAX_LOOKED_AT {
                break Some(name);
            }
            after = Some(next.as_str().to_owned());
        };
        let links = page.links("channels", call.query(), next.as_deref());
        let named = found.iter().filter_map(|overview| Some((app.name(&overview.name)?, overview)));
        let answer = match parameter(call.query(), "by").as_deref() {
            Some("id") => call.answer(200, &named.map(|(name, _)| name).collect::<Vec<_>>()),
            None | Some("" | "value") => {
                let details = named.map(|(name, overview)| ChannelDetails::of(name, Some(overview)));
                call.answer(200, &details.collect::<Vec<_>>())
            }
            Some(by) => return Err(AblyError::new(40000, 400, format!("Invalid by: id or value, not {by:?}"))),
        };
        Ok(answer.with_links(links))
    }
}
