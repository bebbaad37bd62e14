// All that Next's router takes off a path at once: a base path, locales, and (with proxy.js) the address of a page's data.
module.exports = {
  basePath: "/docs",
  i18n: { locales: ["en", "de"], defaultLocale: "en" },
};
