//! The protocols that are spoken: the one list that names them. Each line is a folder beside this file and its door.

use super::door::{Door, Doors, Ground, ProtocolConfig};
use super::hub::parts::Part;
use super::hub::policy::Demand;
use crate::settings::Section;

macro_rules! protocols {
    ($($name:ident: $door:ident),+ $(,)?) => {
        /// The sections of all protocols, read out of `[realtime]`.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Protocols {
            $(pub $name: <super::$name::$door as Door>::Config,)+
        }

        impl ProtocolConfig for Protocols {
            fn at(hub: &str) -> Self {
                Protocols { $($name: ProtocolConfig::at(hub),)+ }
            }

            fn read(realtime: &Section, hub: &str) -> Self {
                Protocols { $($name: ProtocolConfig::read(realtime, hub),)+ }
            }

            fn edits_documents(&self) -> bool {
                [$(self.$name.edits_documents()),+].contains(&true)
            }

            fn demands(&self) -> Vec<Demand> {
                [$(self.$name.demands()),+].concat()
            }

            fn parts(&self) -> Vec<Part> {
                [$(self.$name.parts()),+].concat()
            }
        }

        impl Protocols {
            /// The doors, in the order of the list.
            pub(super) fn doors(&self, ground: &mut Ground<'_>) -> Doors<Protocols> {
                let doors = Doors::<Protocols>::default();
                $(let doors = doors.with(super::$name::$door::new(&self.$name, ground), |config| &config.$name);)+
                doors
            }
        }
    };
}

protocols! {
    socketio: SocketIoDoor,
    pusher: PusherDoor,
    ably: AblyDoor,
    liveblocks: LiveblocksDoor,
    yjs: YjsDoor,
    // Every path below the hub's own may name a channel of the plain door: it comes last.
    plain: PlainDoor,
}
