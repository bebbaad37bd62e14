//! What the app, or anybody with its token, may ask of the hub.
