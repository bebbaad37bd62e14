// Runs in the page: its elements by selector, label or role, by text, and by whether they are seen.
export function elements({ css, label, role, name, exact, texts = [], seen = false }) {
  const plain = (text) => text.replace(/\s+/g, " ").trim();
  const has = (text, part) => (exact ? plain(text) === part : plain(text).toLowerCase().includes(part.toLowerCase()));
  const named = (element) => element.getAttribute("aria-label") ?? element.textContent;
  const roles = { button: "button", link: "a[href]", heading: "h1, h2, h3", textbox: "input, textarea" };
  let found = [...document.querySelectorAll(css ?? (label === undefined ? roles[role] : "[aria-label]"))];
  if (label !== undefined) found = found.filter((element) => has(element.getAttribute("aria-label"), label));
  if (name !== undefined) found = found.filter((element) => has(named(element), name));
  for (const { part, source, flags } of texts) {
    const fits = part === undefined ? (text) => new RegExp(source, flags).test(plain(text)) : (text) => has(text, part);
    found = found.filter(({ textContent }) => fits(textContent));
  }
  if (seen) {
    const visible = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility === "visible";
    found = found.filter(visible);
  }
  return found;
}
