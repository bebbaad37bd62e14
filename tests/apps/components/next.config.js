// Kinds of answers that the other apps cannot have: Partial Prerendering and `use cache`, languages, images.
module.exports = {
  cacheComponents: true,
  i18n: { locales: ["en", "de"], defaultLocale: "en" },
};
