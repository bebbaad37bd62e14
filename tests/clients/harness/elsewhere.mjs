// With `node --import`: connections to the places that ELSEWHERE names (as in {"example.com:443":8443}) go to ports of this machine.
import { Socket } from "node:net";

const places = JSON.parse(process.env.ELSEWHERE);
const { connect } = Socket.prototype;
Socket.prototype.connect = function (...given) {
  // Node's own callers give what they have made of their arguments, as a list.
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  const port = places[`${options.host}:${options.port}`];
  if (port) Object.assign(options, { host: "127.0.0.1", port });
  return connect.apply(this, given);
};
