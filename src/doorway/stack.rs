//! The onion, outermost first, a reason a line.

use std::convert::Infallible;

use tower::{Service, ServiceBuilder};

use super::dispatch::Dispatch;
use crate::http::access::Access;
use crate::http::compress::Compress;
use crate::http::redirect::Redirect;
use crate::http::rescue::RescueLayer;
use crate::http::{Answer, Request, Response};

/// Builds the layers around the rooms.
pub fn build(
    rooms: Dispatch,
    access: Access,
    redirect: Redirect,
    compress: Compress,
) -> impl Service<Request, Response = Response, Error = Infallible, Future = Answer<Infallible>> + Clone + Send + 'static
{
    ServiceBuilder::new()
        .layer(access) // outermost: what is logged is what the client got
        .layer(RescueLayer) // failures become answers here and nowhere else
        .layer(redirect) // before any room is asked: what is meant for https is not answered over http
        .layer(compress) // right around the rooms: whatever looks at answers further out sees what is really sent
        .service(rooms)
}
