// Socket.IO's server API for a route handler: Doorway holds the sockets and asks here what to do about them.
//
// Each question is answered on its own, perhaps by another process than the last, so nothing is kept between them but
// `socket.data`, and handlers that wait for what they asked a client: the answer says what they asked, and when clients have
// replied they go on, in the process where they began, as the answer to that. To find its handlers, the `connection` listener runs again for every event, and what it emits and
// joins counts only when the client connects: leave everything else out of it.

import { AsyncLocalStorage } from "node:async_hooks";
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

export type Args = unknown[];
type Callback = (...args: any[]) => unknown; // eslint-disable-line @typescript-eslint/no-explicit-any
type Command = Record<string, unknown>;

/** What Doorway asks. */
export interface Question {
  type: "connect" | "subscribe" | "message" | "replies" | "disconnect";
  data: {
    client: {
      connection: string;
      socket?: string;
      path: string;
      query: string;
      address: string;
      user: string | null;
      data: Record<string, unknown> | null;
    };
    scope?: string;
    credentials?: Record<string, unknown>;
    recovered?: boolean;
    name?: string;
    json?: Args;
    ack?: boolean;
    reason?: string;
    id?: string;
    results?: { args: Args }[];
    missing?: string[];
    error?: string;
  };
}

/** What Doorway keeps for us of a client, until it is gone. */
type Kept = { auth?: Record<string, unknown>; data?: Record<string, unknown> };

type Outcome = { error?: Error; answers: Args[] };

/** A handler that waits is looked after for so long, in ms: for its clients' replies, then for Doorway to bring them. */
const [PATIENCE, LONGEST, DELIVERY] = [60_000, 300_000, 60_000];
/** So many questions to clients may be open in one process. */
const MOST = 10_000;
/** How long a handler that asks by callback may do other things before its question goes out, in ms. */
const GRACE = 20;

/** What comes of one event, in one answer or, where clients are asked, in several. Whatever runs for it finds it here. */
class Turn {
  commands: Command[] = [];
  /** In place of all else. */
  refusal?: Record<string, unknown>;
  socket?: Socket;
  /** What Doorway was last told of the client. */
  told: { data?: string; user?: string | null } = {};
  /** The listener only shows its handlers. */
  isShowing = false;
  /** It waits for something that is not asked again: it has no more to show. */
  hide = () => {};
  private answering = 0;
  private working = 0;
  private waiting = 0;
  private rests = false;
  private watchers: (() => void)[] = [];

  constructor(readonly type: Question["type"]) {}

  /** Somebody takes what it says now. */
  get isOpen(): boolean {
    return this.answering > 0;
  }

  /** Somebody will. */
  get goesOn(): boolean {
    return this.isOpen || this.waiting > 0;
  }

  async work(what: () => unknown): Promise<void> {
    this.working += 1;
    try {
      await what();
    } catch (error) {
      console.error(error); // this one event fails: a server of its own would end
      if (this.type === "connect" && this.isOpen) this.refusal = { allow: false, reason: "internal server error" };
    }
    this.working -= 1;
    this.tell();
  }

  private tell(): void {
    for (const watcher of this.watchers.splice(0)) watcher();
  }

  private rest(): void {
    if (this.waiting === 0) return;
    this.rests = true;
    this.tell();
  }

  ask(command: Command, patience: number, grace: number): Promise<Outcome> {
    if (this.isShowing) {
      if (grace === 0) this.hide();
      return new Promise(() => {});
    }
    if (questions.size >= MOST) throw new Error("too many questions are open");
    const id = randomUUID();
    this.commands.push({ ...command, do: "ask", id, timeout: patience });
    this.waiting += 1;
    if (grace > 0) setTimeout(() => this.rest(), grace);
    else setImmediate(() => this.rest());
    return new Promise((resolve) => {
      const settle = (outcome: Outcome) => {
        clearTimeout(timer);
        questions.delete(id);
        this.waiting -= 1;
        resolve(outcome);
      };
      const timer = setTimeout(settle, patience + DELIVERY, { error: new Error("operation has timed out"), answers: [] });
      timer.unref();
      questions.set(id, { turn: this, settle });
    });
  }

  /** Goes on with what clients have answered. */
  resume({ data }: Question, settle: (outcome: Outcome) => void): void {
    const { data: kept } = (data.client.data ?? {}) as Kept;
    // What other handlers have changed meanwhile.
    if (kept && this.socket && JSON.stringify(this.socket.data) === this.told.data) {
      for (const key of Object.keys(this.socket.data)) delete this.socket.data[key];
      Object.assign(this.socket.data, kept);
    }
    const answers = (data.results ?? []).map(({ args }) => unpack(args));
    const why = data.error ?? (data.missing?.length ? "operation has timed out" : undefined);
    void this.work(() => {
      settle({ answers, ...(why !== undefined && { error: new Error(why) }) });
      if (this.waiting > 0) setTimeout(() => this.rest(), GRACE);
      return new Promise((resolve) => setImmediate(resolve)); // by then whoever waited for it is at work
    });
  }

  /** What comes of `begin`: all, or as much as there is until clients have answered. */
  async answer(begin: () => void): Promise<Record<string, unknown>> {
    this.answering += 1;
    this.rests = false;
    begin();
    while (this.working > 0 && !this.rests) await new Promise<void>((resolve) => this.watchers.push(resolve));
    this.answering -= 1;
    if (this.refusal) return this.refusal;
    const answer: Record<string, unknown> = { commands: this.commands.splice(0) };
    const { socket } = this;
    if (!socket) return answer;
    if (this.type !== "disconnect") {
      answer.data = { auth: socket.handshake.auth, data: socket.data } satisfies Kept;
      this.told.data = JSON.stringify(socket.data);
    }
    if (socket.user !== null && socket.user !== this.told.user) answer.user = this.told.user = socket.user;
    return answer;
  }
}

type Waiting = { turn: Turn; settle: (outcome: Outcome) => void };

/** One for the process, in however many bundles this file is. */
const shared = globalThis as { [key: symbol]: unknown };
const questions = (shared[Symbol.for("doorway.questions")] ??= new Map<string, Waiting>()) as Map<string, Waiting>;

/** What was asked for is not in this process: it was restarted, or it is one of several. */
class Gone extends Error {}

const turns = new AsyncLocalStorage<Turn>();

function current(): Turn | undefined {
  const turn = turns.getStore();
  return turn?.isOpen ? turn : undefined;
}

function act(command: Command): void {
  const turn = turns.getStore();
  if (turn?.goesOn) turn.commands.push(command);
  else console.error(new Error(`${command.do} comes after its handler was done, and is lost`));
}

/** `POST /emit` of Doorway's API. */
async function post(event: Command): Promise<Response> {
  const token = process.env.DOORWAY_TOKEN;
  return fetch(`${process.env.DOORWAY_URL}/emit`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(event),
  });
}

/** Who hears an event: `io.to("room").except("other").emit(...)`. */
class Broadcast {
  constructor(
    private readonly words: Command,
    private readonly socket?: { id: string; nsp: { name: string } },
    private readonly patience?: number,
  ) {}

  private with(words: Command, patience = this.patience): Broadcast {
    return new Broadcast(words, this.socket, patience);
  }

  to(room: string | string[]): Broadcast {
    const { everyone: _, to = [], ...words } = this.words as { everyone?: true; to?: string[] };
    return this.with({ ...words, to: [...to, ...[room].flat()] });
  }

  in(room: string | string[]): Broadcast {
    return this.to(room);
  }

  except(room: string | string[]): Broadcast {
    const { except = [] } = this.words as { except?: string[] };
    return this.with({ ...this.words, except: [...except, ...[room].flat()] });
  }

  get volatile(): Broadcast {
    return this.with({ ...this.words, volatile: true });
  }

  timeout(ms: number): Broadcast {
    return this.with(this.words, ms);
  }

  /** With a function as the last of `args`, asks as `emitWithAck` does, and calls it when clients have answered. */
  emit(name: string, ...args: Args): true {
    const turn = current();
    const callback = args.at(-1);
    if (typeof callback === "function") {
      void this.call(turns.getStore(), callback as Callback, name, args.slice(0, -1));
    } else if (turn) {
      turn.commands.push({ ...this.words, do: "emit", name, args: pack(args) });
    } else {
      // A job, or a timer of a handler that is done.
      post(this.event(name, args))
        .then(async (response) => response.ok || console.error(`emit ${name}: ${await response.text()}`))
        .catch(console.error);
    }
    return true;
  }

  private async call(turn: Turn | undefined, callback: Callback, name: string, args: Args): Promise<void> {
    const outcome = await this.ask(name, args, GRACE).catch((error: Error): Outcome => ({ error, answers: [] }));
    const work = () => this.called(callback, outcome);
    await (turn ? turn.work(work) : work().catch(console.error));
  }

  private async called(callback: Callback, { error, answers }: Outcome): Promise<unknown> {
    const values = this.isOne ? (answers[0] ?? []) : [answers.map(([first]) => first)];
    if (this.isOne && this.patience === undefined) return error ? undefined : callback(...values);
    return error && this.isOne ? callback(error) : callback(error ?? null, ...values);
  }

  /** Asks while the handler waits: what each client answers, or what the one does. */
  async emitWithAck(name: string, ...args: Args): Promise<any> { // eslint-disable-line @typescript-eslint/no-explicit-any
    const { error, answers } = await this.ask(name, args, 0);
    const responses = answers.map(([first]) => first);
    if (error) throw Object.assign(error, this.isOne ? {} : { responses });
    return this.isOne ? responses[0] : responses;
  }

  /** `grace` in ms: what the handler still does in that time goes out together with the question. */
  private async ask(name: string, args: Args, grace: number): Promise<Outcome> {
    const patience = Math.min(Math.max(Math.ceil(this.patience ?? PATIENCE), 1), LONGEST);
    const turn = current();
    if (turn) return turn.ask({ ...this.words, name, args: pack(args) }, patience, grace);
    const response = await post({ ...this.event(name, args), serverTimeout: patience });
    const { results, detail } = await response.json();
    if (!results) throw new Error(detail);
    const answers = results.map((result: { args: Args }) => unpack(result.args));
    return { answers, ...(!response.ok && { error: new Error("operation has timed out") }) };
  }

  private get isOne(): boolean {
    return !this.words.everyone && !this.words.to;
  }

  private event(name: string, args: Args): Command {
    const { everyone: _, echo = true, ...words } = this.words as { everyone?: true; echo?: boolean; to?: string[]; except?: string[] };
    const { id, nsp } = this.socket ?? {};
    const event = { namespace: nsp?.name, ...words, name, args: pack(args) };
    if (this.isOne && id) event.to = [id];
    if (!echo && id) event.except = [...(event.except ?? []), id];
    return event;
  }
}

/** One client in one namespace, for as long as one question lasts. */
export class Socket {
  readonly id: string;
  readonly handshake: { auth: Record<string, unknown>; address: string; query: Record<string, string>; headers: Record<string, string> };
  data: Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any
  /** Whom `connect` callbacks of this client are about from now on. */
  user: string | null;
  /** It lost its connection and is back, with its id, rooms and data; what it missed comes before what is emitted now. */
  readonly recovered: boolean;
  /** @internal */ readonly handlers = new Map<string, Callback[]>();

  constructor(
    readonly nsp: { name: string },
    { data }: Question,
    headers: Headers,
  ) {
    const { client } = data;
    this.id = client.socket ?? client.connection;
    const { auth, data: kept = {} } = (client.data ?? {}) as Kept;
    this.data = kept;
    this.user = client.user;
    this.recovered = data.recovered ?? false;
    this.handshake = {
      auth: data.credentials ?? auth ?? {},
      address: client.address,
      query: Object.fromEntries(new URLSearchParams(client.query)),
      headers: Object.fromEntries(headers),
    };
  }

  on(name: string, handler: Callback): this {
    this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
    return this;
  }

  emit(name: string, ...args: Args): true {
    return this.self.emit(name, ...args);
  }

  emitWithAck(name: string, ...args: Args): Promise<any> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return this.self.emitWithAck(name, ...args);
  }

  timeout(ms: number): Broadcast {
    return this.self.timeout(ms);
  }

  private get self(): Broadcast {
    return new Broadcast({}, this);
  }

  send(...args: Args): this {
    this.emit("message", ...args);
    return this;
  }

  to(room: string | string[]): Broadcast {
    return new Broadcast({ echo: false }, this).to(room);
  }

  in(room: string | string[]): Broadcast {
    return this.to(room);
  }

  except(room: string | string[]): Broadcast {
    return this.broadcast.except(room);
  }

  get broadcast(): Broadcast {
    return new Broadcast({ everyone: true, echo: false }, this);
  }

  get volatile(): Broadcast {
    return this.self.volatile;
  }

  join(rooms: string | string[]): void {
    for (const room of [rooms].flat()) act({ do: "join", room });
  }

  leave(room: string): void {
    act({ do: "leave", room });
  }

  disconnect(close = false): this {
    act({ do: "disconnect", close });
    return this;
  }
}

type Middleware = (socket: Socket, next: (error?: Error & { data?: unknown }) => void) => unknown;

/** `io.of("/admin")`. */
class Namespace {
  /** @internal */ middlewares: Middleware[] = [];
  /** @internal */ listeners: ((socket: Socket) => unknown)[] = [];

  constructor(readonly name: string | RegExp) {}

  use(middleware: Middleware): this {
    this.middlewares.push(middleware);
    return this;
  }

  on(_: "connection" | "connect", listener: (socket: Socket) => unknown): this {
    this.listeners.push(listener);
    return this;
  }

  private get everyone(): Broadcast {
    return new Broadcast({ everyone: true, namespace: this.name });
  }

  to(room: string | string[]): Broadcast {
    return this.everyone.to(room);
  }

  in(room: string | string[]): Broadcast {
    return this.to(room);
  }

  except(room: string | string[]): Broadcast {
    return this.everyone.except(room);
  }

  get volatile(): Broadcast {
    return this.everyone.volatile;
  }

  timeout(ms: number): Broadcast {
    return this.everyone.timeout(ms);
  }

  emit(name: string, ...args: Args): true {
    return this.everyone.emit(name, ...args);
  }

  emitWithAck(name: string, ...args: Args): Promise<any> { // eslint-disable-line @typescript-eslint/no-explicit-any
    return this.everyone.emitWithAck(name, ...args);
  }
}

export class Server extends Namespace {
  private readonly namespaces: Namespace[] = [this];

  constructor(private readonly options: { connectionStateRecovery?: { skipMiddlewares?: boolean } } = {}) {
    super("/");
  }

  of(name: string | RegExp): Namespace {
    let namespace = this.namespaces.find((known) => String(known.name) === String(name));
    if (!namespace) this.namespaces.push((namespace = new Namespace(name)));
    return namespace;
  }

  /** The answer to one question, as JSON; `headers` are those of its request. Fails where a handler is to go on that is not here. */
  async answer(question: Question, headers: Headers): Promise<Record<string, unknown>> {
    if (question.type === "replies") {
      const waiting = questions.get(question.data.id ?? "");
      if (!waiting) throw new Gone("what asked is not in this process: it was restarted, or it is one of several");
      return waiting.turn.answer(() => waiting.turn.resume(question, waiting.settle));
    }
    const turn = new Turn(question.type);
    return turn.answer(() => turns.run(turn, () => void turn.work(() => this.decide(question, headers, turn))));
  }

  private async decide(question: Question, headers: Headers, turn: Turn): Promise<void> {
    const { type, data } = question;
    const scope = data.scope || "/";
    const namespace = this.namespaces.find(({ name }) => (name instanceof RegExp ? name.test(scope) : name === scope));
    if (!namespace) {
      if (type === "connect") turn.refusal = { allow: false, reason: "Invalid namespace" };
      return;
    }
    const socket = new Socket({ name: scope }, question, headers);
    turn.socket = socket;
    turn.told.user = socket.user;
    const skips = socket.recovered && (this.options.connectionStateRecovery?.skipMiddlewares ?? true);
    if (type === "connect" && !skips) {
      for (const middleware of namespace.middlewares) {
        const error = await new Promise<(Error & { data?: unknown }) | undefined>((resolve, reject) => {
          Promise.resolve(middleware(socket, resolve)).catch(reject);
        });
        if (!error) continue;
        turn.refusal = { allow: false, reason: error.message, ...(error.data !== undefined && { data: error.data }) };
        return;
      }
    }
    if (type === "connect") {
      for (const listener of namespace.listeners) await listener(socket);
      return;
    }
    turn.isShowing = true;
    const isHidden = new Promise<void>((resolve) => (turn.hide = resolve));
    try {
      for (const listener of namespace.listeners) await Promise.race([listener(socket), isHidden]);
    } finally {
      turn.commands.length = 0;
      turn.isShowing = false;
    }
    const name = type === "disconnect" ? "disconnect" : data.name ?? "message";
    const args = type === "disconnect" ? [data.reason] : unpack(data.json ?? []);
    let waits = data.ack;
    if (waits) {
      args.push((...values: Args) => {
        if (waits) act({ do: "ack", args: pack(values) });
        waits = false; // only the first counts
      });
    }
    for (const handler of socket.handlers.get(name) ?? []) await handler(...args);
  }

  /** For `export const POST`: asked by Doorway alone. `verify` throws where it has something against a question. */
  handler(verify?: (body: string, headers: Headers) => unknown) {
    return async (request: Request): Promise<Response> => {
      if (!isDoorways(request.headers)) return new Response("not asked by Doorway", { status: 401 });
      const body = await request.text();
      try {
        await verify?.(body, request.headers);
      } catch {
        return new Response("not signed by Doorway", { status: 401 });
      }
      try {
        return Response.json(await this.answer(JSON.parse(body), request.headers));
      } catch (error) {
        console.error(error);
        return error instanceof Gone ? new Response(error.message, { status: 410 }) : new Response(null, { status: 500 });
      }
    };
  }
}

/**
 * Doorway takes `x-doorway-callback` from everybody else's requests. Its value is made of the secret, where this app knows
 * it: then it holds for whoever reaches the app beside Doorway, too.
 */
export function isDoorways(headers: Headers, secret = process.env.DOORWAY_WEBHOOK_SECRET): boolean {
  const said = Buffer.from(headers.get("x-doorway-callback") ?? "");
  if (!secret) return said.length > 0;
  const key = Buffer.from(secret.trim().replace(/^whsec_/, ""), "base64");
  const badge = Buffer.from(createHmac("sha256", key).update("x-doorway-callback").digest("base64"));
  return said.length === badge.length && timingSafeEqual(said, badge);
}

/** Bytes travel as `{"$base64": "…"}`. */
function pack(value: Args): Args;
function pack(value: unknown): unknown;
function pack(value: unknown): unknown {
  if (value instanceof ArrayBuffer) return { $base64: Buffer.from(value).toString("base64") };
  if (ArrayBuffer.isView(value)) {
    return { $base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (Array.isArray(value)) return value.map((item) => pack(item) ?? null);
  if (value && typeof value === "object" && !("toJSON" in value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
  }
  return value;
}

function unpack(value: Args): Args;
function unpack(value: unknown): unknown;
function unpack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => unpack(item));
  if (!value || typeof value !== "object") return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0][0] === "$base64") return Buffer.from(String(entries[0][1]), "base64");
  return Object.fromEntries(entries.map(([key, item]) => [key, unpack(item)]));
}
