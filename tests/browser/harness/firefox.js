// Firefox over WebDriver BiDi, with as much of Playwright's interface as the tests use: what is written once runs in both.
import { request as http } from "node:http";
import { request as https } from "node:https";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { eventually, PATIENCE } from "./eventually.js";
import { elements } from "./elements.js";
import { paths, scratch } from "./paths.js";

export async function launch() {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: paths.firefox,
    acceptInsecureCerts: true,
    timeout: PATIENCE,
    extraPrefsFirefox: { "network.http.http3.enable": false },
  });
  return {
    newContext: async ({ baseURL }) => new Context(await browser.createBrowserContext(), baseURL),
    close: () => browser.close(),
  };
}

class Context {
  constructor(context, base) {
    this.context = context;
    this.base = base;
    this.patience = PATIENCE;
  }

  async newPage() {
    // A window each: Firefox slows the pages of tabs that nobody sees.
    const page = await this.context.newPage({ type: "window" });
    page.setDefaultTimeout(this.patience);
    return new Page(this, page);
  }

  setDefaultTimeout(patience) {
    this.patience = patience;
  }

  async addCookies(cookies) {
    await this.context.setCookie(...cookies.map(({ url, ...cookie }) => ({ domain: new URL(url).hostname, path: "/", ...cookie })));
  }

  /** The cookies that a request for `url` has. */
  async cookiesOf(url) {
    const { hostname, protocol } = new URL(url);
    const sent = (await this.context.cookies()).filter(({ domain, secure }) => domain === hostname && (!secure || protocol === "https:"));
    return sent.map(({ name, value }) => `${name}=${value}`).join("; ");
  }

  close() {
    return this.context.close();
  }
}

/** What a page says of its own loads and sockets that it breaks off because it is being left. */
const BROKEN_OFF = /Error in input stream|NetworkError when attempting|was interrupted while the page was loading/;

class Page {
  #isLeft = false;

  constructor(context, page) {
    this.context = context;
    this.page = page;
    this.request = {
      get: (path, options) => this.#ask("GET", path, options),
      post: (path, options) => this.#ask("POST", path, options),
    };
  }

  goto(path) {
    return this.#leave(() => this.page.goto(new URL(path, this.context.base).href));
  }

  reload() {
    return this.#leave(() => this.page.reload());
  }

  close() {
    return this.#leave(() => this.page.close());
  }

  async #leave(act) {
    this.#isLeft = true;
    await act();
    this.#isLeft = false;
  }

  url() {
    return this.page.url();
  }

  /** Waits until the page is at this path; `**` stands before it. */
  waitForURL(pattern) {
    return eventually(`the page at ${pattern}`, () => this.url().endsWith(pattern.replace(/^\*\*/, "")));
  }

  evaluate(what, argument) {
    return this.page.evaluate(what, argument);
  }

  waitForFunction(what, argument) {
    return eventually(String(what), () => this.page.evaluate(what, argument));
  }

  locator(css, { hasText } = {}) {
    return new Locator(this.page, { css }).filter({ hasText });
  }

  getByLabel(label) {
    return new Locator(this.page, { label });
  }

  getByRole(role, { name, exact }) {
    return new Locator(this.page, { role, name, exact });
  }

  on(event, listener) {
    const listeners = {
      console: (message) => {
        const type = message.type() === "warn" ? "warning" : message.type();
        listener({ type: () => type, text: () => message.text(), location: () => message.location() ?? {} });
      },
      // A socket's handshake is one of the requests.
      websocket: (request) => isSocket(request) && listener({ url: () => request.url() }),
      request: (request) => isSocket(request) || listener(request),
      pageerror: (error) => (this.#isLeft && BROKEN_OFF.test(error.message)) || listener(error),
    };
    this.page.on(event === "websocket" ? "request" : event, listeners[event]);
  }

  /** A request of the test's own, with the cookies of the page. */
  async #ask(method, path, { headers = {}, data } = {}) {
    const url = new URL(path, this.context.base);
    const body = data === undefined ? undefined : JSON.stringify(data);
    const cookie = await this.context.cookiesOf(url);
    const sent = { ...(cookie && { cookie }), ...(body && { "content-type": "application/json" }), ...headers };
    return new Promise((resolve, reject) => {
      const ask = url.protocol === "https:" ? https : http;
      const request = ask(url, { method, headers: sent, rejectUnauthorized: false }, async (response) => {
        const text = Buffer.concat(await response.toArray()).toString();
        resolve({ status: () => response.statusCode, json: async () => JSON.parse(text), text: async () => text });
      });
      request.on("error", reject).end(body);
    });
  }
}

function isSocket(request) {
  return "sec-websocket-version" in request.headers();
}

/** Elements by what people see of them. Each act waits until there is one that is seen, and takes the first. */
class Locator {
  constructor(page, how) {
    this.page = page;
    this.how = how;
  }

  filter({ hasText }) {
    if (hasText === undefined) return this;
    const text = hasText instanceof RegExp ? { source: hasText.source, flags: hasText.flags } : { part: hasText };
    return new Locator(this.page, { ...this.how, texts: [...(this.how.texts ?? []), text] });
  }

  first() {
    return this;
  }

  async waitFor() {
    await (await this.#seen()).dispose();
  }

  async click() {
    await this.#act((element) => element.click());
  }

  async fill(text) {
    await this.#act(async (element) => {
      await element.evaluate((field) => field.select());
      await element.focus();
      if (text) await this.page.keyboard.type(text);
      else await this.page.keyboard.press("Delete");
    });
  }

  async selectOption(value) {
    await this.#act((element) => element.select(value));
  }

  async setInputFiles({ name, buffer }) {
    const file = join(scratch(), name);
    writeFileSync(file, buffer);
    await this.#act((element) => element.uploadFile(file));
  }

  async textContent() {
    return this.#act((element) => element.evaluate(({ textContent }) => textContent), false);
  }

  async allTextContents() {
    const all = await this.page.evaluateHandle(elements, { ...this.how });
    const texts = await all.evaluate((found) => found.map(({ textContent }) => textContent));
    await all.dispose();
    return texts;
  }

  async #act(act, seen = true) {
    const element = await this.#seen(seen);
    const result = await act(element);
    await element.dispose();
    return result;
  }

  #seen(seen = true) {
    return eventually(`${JSON.stringify(this.how)} on ${this.page.url()}`, async () => {
      const all = await this.page.evaluateHandle(elements, { ...this.how, seen });
      const first = (await all.evaluateHandle((found) => found[0])).asElement();
      await all.dispose();
      return first;
    });
  }
}
