import Ably from "ably";

/** Ably's own server library. It signs with the key by itself: nobody is asked over the network. */
export function ably() {
  return new Ably.Rest({ key: process.env.ABLY_API_KEY! });
}
