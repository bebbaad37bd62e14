// `next start` serves such a build too, where its folder `standalone` is away.
module.exports = { output: "standalone", outputFileTracingRoot: __dirname };
