//! What an app's server may do to a user who has signed in.

use std::sync::Arc;

use super::ApiError;
use crate::realtime::pusher::PusherDoor;
use crate::realtime::pusher::machine::{Code, PusherApp};
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::Text;

impl PusherDoor {
    /// Ends all connections of a user, for good, on all doors.
    pub(super) async fn terminate_connections(&self, app: &Arc<PusherApp>, user: &str) -> Result<String, ApiError> {
        if !name::is_user(user) {
            return Err(ApiError::bad("This is no id of a user"));
        }
        let code = Code::Unauthorised(Text::from_static("You got disconnected by the app"));
        self.hub.end_user(&app.user(user), Some(code.number()), &code.words()).await?;
        Ok("{}".to_owned())
    }
}
