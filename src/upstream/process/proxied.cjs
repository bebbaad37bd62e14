// Runs before the app, in its process, where the app's own server has no setting that tells it of a proxy (Express without
// `trust proxy`): a request that came over https is one on an encrypted connection. Else React Router takes each form for
// another site's. Nobody but the door speaks to this process, and it drops what clients say in this header.
(() => {
  const { Server } = require('http'), { runMain } = require('module');
  process.execArgv.splice(0);
  const { emit } = Server.prototype;
  Server.prototype.emit = function (event, request, ...more) {
    if (event === 'request') {
      // One connection carries requests of many clients, one after the other.
      request.socket.encrypted = request.headers['x-forwarded-proto'] === 'https';
    }
    return emit.call(this, event, request, ...more);
  };
  runMain();
})
