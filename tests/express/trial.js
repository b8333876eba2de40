// Visitors of the Express demo keep viewing pages while the application takes over. Arguments: the
// application's executable, and the number of visitors. Start a debug build in the folder of the project.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "redis";
import { sign } from "./sign.js";

const [program, visitors] = [process.argv[2], Number(process.argv[3] ?? 1000)];
const PATHS = ["/foo", "/bar", "/"];
// How many visitors have a request in progress at the same time.
const AT_ONCE = 50;
const LIMIT = 900_000;

const children = [];
const folder = await mkdtemp(join(tmpdir(), "express-"));
const wrong = [];
let unavailable = 0;
setTimeout(() => {
  console.error(`the trial takes longer than ${LIMIT / 1000} s`);
  for (const child of children) child.kill("SIGKILL");
  process.exit(1);
}, LIMIT).unref();

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

function start(command, args, { env, cwd } = { cwd: folder }) {
  const { PATH } = process.env;
  const options = { env: { PATH, ...env }, cwd, stdio: ["ignore", "ignore", "inherit"] };
  const child = spawn(command, args, options);
  children.push(child);
  return child;
}

async function answers(work) {
  for (let round = 0; ; round++) {
    try {
      return await work();
    } catch (error) {
      if (round === 200) throw error;
      await sleep(50);
    }
  }
}

class Visitor {
  cookies = new Map();
  views = 0;

  constructor(number) {
    this.path = PATHS[number % PATHS.length];
  }

  // Views the page. Notes it if the count does not go on. A view that was answered with a 503, as on a
  // machine that is too slow, may have been counted or not.
  async view(port) {
    const expected = this.views + 1;
    let unknown = 0;
    let views;
    while ((views = await request(port, this.path, this.cookies)) === undefined) {
      unknown++;
      await sleep(1000);
    }
    unavailable += unknown;
    if (views < expected || views > expected + unknown) {
      wrong.push(`${this.path}: ${views} instead of ${expected}`);
    }
    this.views = views;
  }
}

// Requests a page, keeps its cookies as a browser does, and returns how often it was viewed; nothing
// if the response is a 503.
async function request(port, path, cookies) {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  const headers = { accept: "application/json", cookie };
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
  for (const set of response.headers.getSetCookie()) {
    const [pair, ...attributes] = set.split("; ");
    const at = pair.indexOf("=");
    if (attributes.includes("Max-Age=0")) cookies.delete(pair.slice(0, at));
    else cookies.set(pair.slice(0, at), pair.slice(at + 1));
  }
  if (response.status === 503) return undefined;
  if (response.status !== 200) throw new Error(`${path}: ${response.status}`);
  return (await response.json()).views;
}

// Runs `work` for each item, some at a time.
async function forEach(items, work) {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function trial() {
  const free = await Promise.all(Array.from({ length: 4 }, freePort));
  const url = `redis://127.0.0.1:${free[0]}`;
  start("redis-server", ["--port", free[0], "--bind", "127.0.0.1", "--save", ""]);
  const redis = await answers(() => createClient({ url }).on("error", () => {}).connect());
  const demo = start(process.execPath, [new URL("demo.js", import.meta.url).pathname, free[1], url]);
  const env = {
    REDIS_URL: url,
    EXPRESS_SECRET: "keyboard cat",
    ROCKET_SECRET_KEY: randomBytes(32).toString("base64"),
    RUST_LOG: "warn",
  };
  for (const port of free.slice(2)) start(program, [], { env: { ...env, PORT: port } });
  for (const port of free.slice(1)) await answers(() => fetch(`http://127.0.0.1:${port}/about`));
  const keys = async (pattern) => (await redis.keys(pattern)).length;
  await redis.flushAll();

  // Express first; then, in the middle of the load, the application. No visitor has two requests in
  // progress. As behind a load balancer, requests go to one of two instances in turn.
  let port = () => free[1];
  const all = Array.from({ length: visitors }, (_, number) => new Visitor(number));
  await forEach(all, async (visitor) => {
    for (let views = 0; views < 3; views++) await visitor.view(port());
  });
  const before = await keys("sess:*");
  let number = 0;
  let byExpress = 0;
  const switched = sleep(1000).then(() => {
    port = () => free[2 + (number++ % 2)];
  });
  const rounds = 6;
  for (let round = 0; round < rounds; round++) {
    await forEach(all, async (visitor) => {
      const to = port();
      byExpress += to === free[1];
      await visitor.view(to);
    });
  }
  await switched;
  demo.kill();
  console.log(`${before} sessions of Express; ${byExpress} of ${rounds * visitors} further views went to it`);
  await forEach(all, (visitor) => visitor.view(port()));
  const pages = await keys("session:{*");
  const claims = await keys("session:express:*");
  console.log(`${pages} sessions and ${claims} claims of the application, ${await keys("sess:*")} old records`);
  if (before !== visitors || pages !== visitors || (await keys("sess:*")) !== 0) {
    wrong.push("a session is missing, or there is one too many");
  }
  await parallel(redis, free, keys);
  await redis.close();
}

// Old cookies that are used several times at once, on two instances.
async function parallel(redis, free, keys) {
  const [count, times] = [Math.ceil(visitors / 5), 4];
  const before = await keys("session:{*");
  const olds = Array.from({ length: count }, () => randomBytes(24).toString("base64url"));
  await forEach(olds, (id) =>
    redis.set(`sess:${id}`, JSON.stringify({ cookie: {}, views: { "/foo": 7 } }), {
      expiration: { type: "EX", value: 600 },
    }),
  );
  await forEach(olds, async (id) => {
    const jars = Array.from({ length: times }, () => new Map([["connect.sid", sign(id)]]));
    const views = await Promise.all(jars.map((jar, at) => request(free[2 + (at % 2)], "/foo", jar)));
    for (const jar of jars) views.push(await request(free[2], "/foo", jar));
    const unknown = views.filter((it) => it === undefined).length;
    unavailable += unknown;
    const counts = views.filter((it) => it !== undefined).sort((a, b) => a - b);
    const isExact = counts.every((it, at) => it >= 8 + at && it <= 8 + at + unknown);
    if (!isExact || new Set(counts).size < counts.length) wrong.push(`an old cookie at once: ${views}`);
  });
  const made = (await keys("session:{*")) - before;
  console.log(`${count} old cookies, each used ${times} times at once: ${made} sessions`);
  if (made !== count) wrong.push("an old cookie has made more than one session, or none");
}

try {
  const began = performance.now();
  await trial();
  console.log(`${unavailable} requests were answered with a 503, and repeated`);
  console.log(`${wrong.length} mistakes, in ${Math.round((performance.now() - began) / 1000)} s`);
} finally {
  for (const child of children) child.kill("SIGKILL");
  await rm(folder, { recursive: true });
}
for (const mistake of wrong.slice(0, 20)) console.error(mistake);
process.exit(wrong.length ? 1 : 0);
