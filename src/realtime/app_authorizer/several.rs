//! Several messages that are published as one: the app is asked about each, and all of them are said or none.

use std::sync::Arc;

use super::AppAuthorizer;
use crate::callbacks::EventKind;
use crate::realtime::entrance::authorizer::{Allow, Authorizer, ConnectionInfo, Deciding, Decision};
use crate::realtime::vocabulary::{Audience, Command, Identity, Publish, PublishSeveral};

impl AppAuthorizer {
    /// What becomes of `several`, if the app wants to hear of messages there.
    pub(super) fn authorize_each(
        &self,
        connection: &Arc<ConnectionInfo>,
        identity: Option<&Arc<Identity>>,
        several: &PublishSeveral,
    ) -> Option<Deciding> {
        if !self.app.wants(EventKind::Message, Some(several.channel.as_str())) {
            return None;
        }
        let mut several = several.clone();
        let (authorizer, connection, identity) = (self.clone(), Arc::clone(connection), identity.cloned());
        Some(Box::pin(async move {
            let (mut then, mut known) = (Vec::new(), None);
            for draft in &mut several.drafts {
                let audience = Audience::Channel(several.channel.clone());
                let publish = Publish { ticket: 0, audience, draft: draft.clone(), echo: several.echo };
                let command = Command::Publish(Box::new(publish));
                let Some(asking) = authorizer.authorize(&connection, identity.as_ref(), &command) else { continue };
                let Decision { outcome, then: more } = asking.await;
                then.extend(more);
                match outcome {
                    Ok(Allow { instead, identity, .. }) => {
                        known = identity.or(known);
                        if let Some(Command::Publish(publish)) = instead {
                            *draft = publish.draft;
                        }
                    }
                    Err(refusal) => return Decision { outcome: Err(refusal), then },
                }
            }
            let instead = Some(Command::PublishSeveral(Box::new(several)));
            Decision { outcome: Ok(Allow { instead, identity: known, ..Allow::default() }), then }
        }))
    }
}
