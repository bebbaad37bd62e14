export default defineEventHandler((event) => ({ pid: process.pid, url: getRequestURL(event, { xForwardedHost: true }).href }));
