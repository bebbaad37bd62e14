//! The onion, outermost first, a reason a line.

use std::convert::Infallible;

use tower::{Service, ServiceBuilder};

use super::dispatch::Dispatch;
use crate::http::layer::access::Access;
use crate::http::layer::bodiless::Bodiless;
use crate::http::layer::canonical::Canonical;
use crate::http::layer::certification::Certification;
use crate::http::layer::compress::Compress;
use crate::http::layer::layer;
use crate::http::layer::redirect::Redirect;
use crate::http::layer::rescue::Rescue;
use crate::http::layer::upgrade::Upgrades;
use crate::http::layer::upload::Uploads;
use crate::http::{Request, Response};

/// Builds the layers around the rooms.
pub fn build(
    rooms: Dispatch,
    access: Access,
    rescue: Rescue,
    certification: Certification,
    redirect: Redirect,
    compress: Compress,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Unpin + Send> + Clone + Send + 'static {
    ServiceBuilder::new()
        .layer(layer(access)) // outermost: what is logged is what the client got
        .layer(layer(Bodiless)) // outside of all that makes answers: what HEAD must not get, nobody else need think of
        .layer(layer(rescue)) // failures become answers here and nowhere else
        .layer(layer(Upgrades)) // every answer to an upgrade passes here, a refusal too: then the connection's bytes mean HTTP again
        .layer(layer(Uploads)) // a body that broke off is the client's fault, whatever the rooms made of it
        .layer(layer(certification)) // before names are checked: an authority asks for each; and before anything is sent to https
        .layer(layer(Canonical)) // one meaning for each request: no rule further in can be read around
        .layer(layer(redirect)) // before any room is asked: what is meant for https is not answered over http
        .layer(layer(compress)) // right around the rooms: whatever looks at answers further out sees what is really sent
        .service(rooms)
}
