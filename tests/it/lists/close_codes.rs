//! `src/realtime/close-codes.md`, from the reasons for which the door closes, and what each protocol makes of them.

use std::fmt::Write as _;
use std::path::Path;

use doorway::realtime::pusher::machine::Code;
use doorway::realtime::vocabulary::{Breach, DisconnectReason, Violation};

use super::{hold, sources};

pub const PAGE: &str = "src/realtime/close-codes.md";

const HEAD: &str = "\
# Close codes

Why a client's connection was closed, as the client sees it (`event.code` of a WebSocket's `close`) and as the log has it
(`socket closed`, with `by`, `reason` and `code`; likewise the labels of `doorway_realtime_sockets_ended_total`).
This page is made from the code by `tests/it/lists`.

## The door closes a connection

`by=door` in the log, with the first column's code whatever the protocol. A Socket.IO client whose socket is closed is told \"transport close\" and comes back by itself;
only one that was kicked (\"io server disconnect\") does not. Over Engine.IO's polling there are no codes. An event stream
ends with `{\"type\":\"closing\",\"reason\":REASON}`, and EventSource comes back by itself.

| plain WebSocket, Socket.IO | Pusher | `reason` in the log | cause | what to do, what to turn |
|---|---|---|---|---|
";

/// Every reason. A new one fails to compile in `explained` until it stands there, and must be added here too.
fn reasons() -> Vec<DisconnectReason> {
    let breaches = [Breach::Protocol, Breach::Unsupported, Breach::NotUtf8, Breach::Policy, Breach::TooBig];
    let mut all = vec![
        DisconnectReason::Done,
        DisconnectReason::GoingAway,
        DisconnectReason::Restarting,
        DisconnectReason::Kicked { code: None, reason: "".into() },
        DisconnectReason::Slow,
        DisconnectReason::Idle,
        DisconnectReason::Dead,
        DisconnectReason::Expired,
        DisconnectReason::Overloaded,
        DisconnectReason::Failed,
    ];
    all.extend(breaches.map(|breach| DisconnectReason::Violation(Violation::new(breach, "what was wrong"))));
    all.sort_by_key(|closing| closing.close().code);
    all
}

/// The cause, and what to do.
fn explained(closing: &DisconnectReason) -> (&'static str, &'static str) {
    match closing {
        DisconnectReason::Done => (
            "the conversation is over: the app took a plain client out of its channel, or a Socket.IO client came back \
             over another connection",
            "nothing",
        ),
        DisconnectReason::GoingAway => (
            "the door is being stopped (SIGTERM, `POST /drain`)",
            "clients come back; they are spread over `[drain] timeout`. `[realtime] restarts` says 1012 instead",
        ),
        DisconnectReason::Restarting => (
            "the door is being stopped, and another takes its place at once (`[realtime] restarts`)",
            "clients come back",
        ),
        DisconnectReason::Kicked { .. } => (
            "the app or an operator said so; also, where plain clients may not enter a channel or publish for the app's \
             word. The app may give a code of its own, 3000 to 4999 (of Pusher's, 4000 to 4299)",
            "what answers `[callbacks]`, or who calls the API's disconnect",
        ),
        DisconnectReason::Slow => (
            "the client reads more slowly than its channels speak; the log line names `channel` and what waited: \
             `waiting_messages`, `waiting_bytes`",
            "`[realtime.outbox]` `messages` and `bytes`; `slow` of the `[[realtime.channel]]`: \"drop-oldest\" or \
             \"keep-latest\" in place of closing; with `history` it can come back for what it missed",
        ),
        DisconnectReason::Idle => (
            "nothing said for too long",
            "`idle_timeout` of `[realtime.plain]`; `connect_timeout` of `[[realtime.socketio]]`",
        ),
        DisconnectReason::Dead => (
            "no answer to a ping in time. The client is gone for the others at once: nobody waits for its answer to the \
             close",
            "`ping_interval` and `ping_timeout` of `[realtime.plain]`; `activity_timeout` and `pong_timeout` of \
             `[[realtime.pusher]]`",
        ),
        DisconnectReason::Expired => (
            "the token it came with has expired",
            "send a new one in time (`{\"type\":\"token\",\"token\":...}`); longer `exp`; `leeway` of `[realtime.tokens]`",
        ),
        DisconnectReason::Overloaded => (
            "a plain client's channel cannot be opened or asked for now: `max_channels` are there, or the app is away",
            "`[realtime] max_channels`, `[callbacks]` time-outs and `max_waiting`; clients come back later",
        ),
        DisconnectReason::Failed => ("an error of Doorway's own; the log says more", "report it"),
        DisconnectReason::Violation(violation) => match violation.breach {
            Breach::Protocol => {
                ("the frames break RFC 6455, or the protocol's own grammar", "the client, or what is between")
            }
            Breach::Unsupported => (
                "a binary message where only text is spoken",
                "`verbatim` of `[realtime.plain]` relays binary messages too",
            ),
            Breach::NotUtf8 => ("text that is not UTF-8, or compressed data that is none", "the client"),
            Breach::Policy => (
                "something that is not allowed: a channel or a publish refused to a plain client, or `since` asks for \
                 what is no longer kept",
                "`subscribe`, `publish`, `history` and `history_age` of the `[[realtime.channel]]`",
            ),
            Breach::TooBig => (
                "a message is too long",
                "`max_message` and `max_frame` of `[realtime.websocket]`, `max_payload` of `[[realtime.socketio]]`",
            ),
        },
    }
}

/// Every code of Pusher's own.
fn pusher() -> Vec<Code> {
    vec![
        Code::NoApp,
        Code::Disabled,
        Code::NoPath,
        Code::BadVersion,
        Code::UnsupportedVersion,
        Code::NoVersion,
        Code::Unauthorised("".into()),
        Code::Full,
        Code::Restart,
        Code::Reconnect,
        Code::NoPong,
    ]
}

fn explained_of_pusher(code: &Code) -> (&'static str, &'static str) {
    match code {
        Code::NoApp => ("no `[[realtime.pusher]]` has this key", "`key` of the app, `more_keys` while it is changed"),
        Code::Disabled => ("the app is switched off", "`enabled`"),
        Code::NoPath => ("the path is not `/app/KEY`", "the client's `wsPath`"),
        Code::BadVersion | Code::UnsupportedVersion | Code::NoVersion => {
            ("the query's `protocol` is missing, no number, or not 5 to 7", "the client's version")
        }
        Code::Unauthorised(_) => (
            "kicked without a code of its own, disconnected by the app's server, a sign-in that is not good, or not let in",
            "what answers `[callbacks]`, `auth`",
        ),
        Code::Full => (
            "the app has as many clients as it may, the door has, or the client reads too slowly",
            "`max_connections` of the app and of `[realtime]`; `[realtime.outbox]`",
        ),
        Code::Restart => (
            "the door stops, and another comes: come back in a second (at once would be too early, and then `pusher-js` \
             waits for 15)",
            "a socket of systemd's keeps the port open meanwhile",
        ),
        Code::Reconnect => ("come back at once: a token has expired, or the door has failed", "nothing"),
        Code::NoPong => ("no answer to a ping in time", "`activity_timeout`, `pong_timeout`"),
        Code::Said(..) => ("the app's own", "what answers `[callbacks]`"),
    }
}

/// The codes of sockets that are opened only to be closed: `for_pages(3000, …)` in the source.
fn for_pages() -> Vec<u16> {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/realtime"));
    let mut codes: Vec<u16> = sources
        .iter()
        .flat_map(|text| text.split("for_pages(").skip(1))
        .filter_map(|rest| rest.get(..4)?.parse().ok())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[test]
fn close_codes_are_those_of_the_code() {
    let mut text = HEAD.to_owned();
    for closing in reasons() {
        let close = closing.close();
        let code = match &closing {
            DisconnectReason::Kicked { .. } => format!("{}, or the app's", close.code),
            _ => close.code.to_string(),
        };
        let pusher = Code::of(&closing).map_or_else(|| format!("{}", close.code), |code| code.number().to_string());
        let (cause, remedy) = explained(&closing);
        writeln!(text, "| {code} | {pusher} | `{}` | {cause} | {remedy} |", closing.label()).unwrap();
    }
    text.push_str(
        "\n## Somebody else closes it\n\n\
         | `by` | `reason` | code in the log | cause |\n|---|---|---|---|\n\
         | `client` | `closed` | the client's own; 1005 where it gave none | the page was left, the app's code called `close()` |\n\
         | `network` | `lost` | 1006 | the connection broke; `detail` says how |\n\
         | `network` | Engine.IO's and SockJS's words: `transport close`, `transport error`, `parse error`, `ping timeout`, `gone` | 1006 | a session that polls, or came from polling, is over; `detail` says how |\n\
         | `door` | `cut` | 1006 | the process ended before the conversation did, or failed in it |\n\n\
         A browser says 1006 for all that has no closing handshake, refused upgrades too: the console and the door's log \
         (`doorway_realtime_turned_away_total` by `reason`) have the status.\n\n\
         ## Pusher's codes\n\n\
         4000 to 4099: the client stays away. 4100 to 4199: it comes back after a while. 4200 to 4299: at once. 4300 and more \
         are errors with which it goes on.\n\n\
         | code | cause | what to do, what to turn |\n|---|---|---|\n",
    );
    for code in pusher() {
        let (cause, remedy) = explained_of_pusher(&code);
        writeln!(text, "| {} | {cause} | {remedy} |", code.number()).unwrap();
    }
    text.push_str(
        "\n## Not let in\n\n\
         An upgrade that is refused gets a status. A page cannot see it, so its socket is opened and closed with a code:\n\n\
         | code | cause | what to do, what to turn |\n|---|---|---|\n",
    );
    for code in for_pages() {
        let (cause, remedy) = match code {
            3000 => ("401: the token is missing, expired or not good; the reason says which", "`[realtime.tokens]`"),
            3003 => ("403: the token does not allow this channel", "the token's claims"),
            _ => panic!("{code} is told to pages, and not explained here"),
        };
        writeln!(text, "| {code} | {cause} | {remedy} |").unwrap();
    }
    text.push_str(
        "| 3000 to 4999 | the app refused it in answer to `connect`, with this code | what answers `[callbacks]` |\n",
    );
    hold(PAGE, &text);
}
