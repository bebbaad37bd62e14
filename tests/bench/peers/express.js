// The usual custom server: Express around Next.js, from the project's own packages.
import { createRequire } from 'node:module';
import express from 'express';

const { PORT, PROJECT } = process.env;
const next = createRequire(`${PROJECT}/package.json`)('next');
const app = next({ dev: false, dir: PROJECT, hostname: '127.0.0.1', port: Number(PORT) });
const handle = app.getRequestHandler();
await app.prepare();
const server = express();
server.use((request, response) => handle(request, response));
server.listen(Number(PORT), '127.0.0.1');
