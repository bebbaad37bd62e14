// Runs before the app, in its process. A page that the app makes anew (ISR) is written into the folder that the build came
// from; once another build lies there, the page of this one has no business in it. Next.js logs a write that fails, and
// serves the page from memory.
((served, isScript) => {
  const fs = require('fs'), path = require('path'), { runMain } = require('module');
  const pages = path.join(served, 'server') + path.sep;
  // What every build writes anew; the folder itself too, since a build may still be without the files.
  const files = ['BUILD_ID', 'prerender-manifest.json', 'routes-manifest.json'].map((file) => path.join(served, file));
  const stamp = (file, ...times) => {
    try {
      const stat = fs.statSync(file, { bigint: true });
      return [stat.dev, stat.ino, ...times.map((time) => stat[time])].join();
    } catch {
      return 'none';
    }
  };
  const look = () => [...files.map((file) => stamp(file, 'mtimeNs')), stamp(served), stamp(pages)].join(' ');
  // Of what a script starts, a process that listens is the app; before that it may be what makes the build.
  let build = isScript ? undefined : look();
  const isReplaced = () => build !== undefined && look() !== build;
  const isPage = (file) => typeof file === 'string' && path.resolve(file).startsWith(pages);
  const refuse = (file) => {
    const error = new Error(`another build is there now, a page of this one is not written: ${file}`);
    return Promise.reject(Object.assign(error, { code: 'ESTALE', path: file }));
  };
  const { mkdir, writeFile, rename, link, copyFile, unlink } = fs.promises;
  const watch = (write, to) => async (...args) => {
    const file = args[to];
    if (!isPage(file)) return write(...args);
    if (isReplaced()) return refuse(file);
    const done = await write(...args);
    if (!isReplaced()) return done;
    // The folder was replaced between the look and the write.
    await unlink(file).catch(() => {});
    return refuse(file);
  };
  Object.assign(fs.promises, {
    // An empty folder is no page.
    mkdir: (file, ...more) => (isPage(file) && isReplaced() ? refuse(file) : mkdir(file, ...more)),
    writeFile: watch(writeFile, 0),
    rename: watch(rename, 1),
    link: watch(link, 1),
    copyFile: watch(copyFile, 1),
  });
  if (isScript) {
    const { Server } = require('net'), { listen } = Server.prototype;
    Server.prototype.listen = function (...where) {
      build ??= look();
      return listen.apply(this, where);
    };
    return;
  }
  process.execArgv.splice(0);
  runMain ? runMain() : require(process.argv[1]);
})
