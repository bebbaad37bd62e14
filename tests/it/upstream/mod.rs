//! The app behind the door: what is promised, a file each.
//!
//! - `answers`: an answer that two readers could read in two ways never reaches a client; it is a 502, and the
//!   connection to the app is closed.
//! - `away`: while the app is away requests wait, bounded in number and time; the door says truthfully whether it
//!   answers.
//! - `dist`: a build is found where the app's own config puts it, without a word in the door's.
//! - `interim`: what the app says before its answer (1xx) reaches clients of HTTP/1.1 at once, and disturbs no others.
//! - `frameworks`: an app of any framework of the table is built, started, told of the door, asked how it is without a
//!   trace, and replaced; its files that never change are answered from disk.
//! - `fresh`: a start builds what is older than its sources and installs what is older than its manifest, says why, and
//!   does neither where that changes nothing.
//! - `itself`: a door that is its own upstream is an error of the config, however the address is written; over other
//!   hops a request goes round a few times and no more.
//! - `left`: what a door that was killed left running is ended before its folder gets an app again, and nothing else is.
//! - `managers`: packages are installed by the package manager that the project means, and where that cannot be, one
//!   sentence says what to do.
//! - `next`: a stock Next.js app works behind the door as `doorway DIR` starts it.
//! - `pages`: a Next.js app of the Pages Router, with base path, locales and a `proxy.js`, works behind the door,
//!   and its route for callbacks is the door's alone.
//! - `pool`: connections to the app are kept and used again, never longer than the app keeps them, and the race
//!   between its closing and our asking costs no request that may safely be asked again.
//! - `ports`: what this machine lacks for a connection to the app is said as such, and is not taken for an app that is
//!   gone.
//! - `process`: `doorway DIR` installs, builds, starts and keeps running an app, and ends it at its end.
//! - `rewrite`: nobody outside speaks to the app as Next.js itself does, and what Next.js must hear reaches it.
//! - `scripts`: what the project's own start script does besides `next start` is not lost, and its `.env` files count.
//! - `stages`: while the app is installed and built the door answers already: people see what is being done on a page that
//!   reloads itself, programs get 503, and sockets are the hub's.
//! - `streaming`: bodies stream both ways as they come, in constant memory; whoever leaves is missed at once by the
//!   other side.
//! - `tunnel`: other upgrades reach the app on the paths that the config names, and for hot reloading in
//!   development; anywhere else they are answered at once.

mod answers;
mod away;
mod interim;
mod frameworks;
mod dist;
mod fresh;
mod itself;
mod left;
mod managers;
mod next;
mod pages;
mod pool;
mod ports;
mod process;
mod rewrite;
mod scripts;
mod stages;
mod streaming;
mod tunnel;
