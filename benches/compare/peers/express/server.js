// Express with express-session and connect-redis, set up as the readme of connect-redis has it
// (https://github.com/tj/connect-redis), and drawn by EJS, which Express caches in production.

import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "redis";

const DAY = 24 * 3600 * 1000;
// How long a slow request waits between reading its session and going on, in milliseconds.
const SLOW = 200;

const IN_REDIS =
  "Your browser carries a ticket. Whichever instance of this service answers, it finds your " +
  "counts by that ticket in Redis, adds one, and forgets you.";

// Tera escapes the slash as well.
const PAGES = [
  { path: "/", href: "&#x2F;", title: "Home", lede: IN_REDIS },
  {
    path: "/foo",
    href: "&#x2F;foo",
    title: "Foo",
    lede:
      "This is another page with a count of its own. It hangs on the same ticket, the one that " +
      "your browser carries.",
  },
  {
    path: "/bar",
    href: "&#x2F;bar",
    title: "Bar",
    lede:
      "This is a third page. Stay away for an hour: the instance that answers you then may never " +
      "have met you, and the count goes on all the same.",
  },
];

const OTHERS = [
  { href: "&#x2F;session", title: "Session" },
  { href: "&#x2F;about", title: "About" },
];

const instance = { id: process.pid.toString(16).padStart(6, "0"), revision: "local" };

const exact = (ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

function ago(ms) {
  const seconds = Math.floor(ms / 1000);
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [1, "second"];
  const count = Math.floor(seconds / size);
  if (count === 0) return "just now";
  return count === 1 ? `1 ${unit} ago` : `${count} ${unit}s ago`;
}

function view(page, request, response) {
  const held = request.session;
  const cookieSeen = held.views !== undefined;
  held.views ??= {};
  held.began ??= Date.now();
  held.instances ??= [];
  held.views[page.path] = (held.views[page.path] ?? 0) + 1;
  if (!held.instances.includes(instance.id)) held.instances.push(instance.id);

  const count = (it) => held.views[it.path] ?? 0;
  const views = count(page);
  if (request.accepts(["html", "json"]) === "json") {
    const pages = Object.fromEntries(PAGES.map((it) => [it.path, count(it)]));
    response.json({ page: page.path, views, pages });
    return;
  }
  const most = Math.max(...PAGES.map(count));
  const now = Date.now();
  response.render("page", {
    nav: [...PAGES, ...OTHERS].map((it) => ({ ...it, current: it === page })),
    instance,
    page: { ...page, views, times: views === 1 ? "1 time" : `${views} times` },
    pages: PAGES.map((it) => ({
      ...it,
      views: count(it),
      percent: Math.floor((count(it) * 100) / most),
      current: it === page,
    })),
    total: PAGES.map(count).reduce((sum, views) => sum + views),
    instances: held.instances.map((id) => ({ id, current: id === instance.id })),
    began: { text: ago(now - held.began), exact: exact(held.began) },
    lapses: { text: "in 1 day", exact: exact(now + DAY) },
    cookieSeen,
  });
}

const seeSession = (response, next) => (error) =>
  error ? next(error) : response.redirect(303, "/session");

const client = createClient({ url: process.env.REDIS_URL });
client.on("error", (error) => console.error(error.message));
await client.connect();

const app = express();
app.set("view engine", "ejs");
app.set("views", new URL("views", import.meta.url).pathname);
app.use(
  session({
    store: new RedisStore({ client }),
    resave: false,
    saveUninitialized: false,
    secret: "the same in every process, so that instances can share sessions",
    cookie: { maxAge: DAY },
  }),
);
for (const page of PAGES) {
  app.get(page.path, (request, response) => view(page, request, response));
}
app.post("/session/regenerate", (request, response, next) => {
  const { views, began, instances } = request.session;
  request.session.regenerate((error) => {
    if (error) return next(error);
    Object.assign(request.session, { views, began, instances });
    return request.session.save(seeSession(response, next));
  });
});
app.post("/session/destroy", (request, response, next) => {
  request.session.destroy(seeSession(response, next));
});

// As the example "User login" of the readme of express-session has it.
const gainRights = (rights) => (request, response, next) => {
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.rights = rights(request);
    return request.session.save(seeSession(response, next));
  });
};
app.post("/session/elevate", gainRights(() => "admin"));
app.post("/session/log-in", gainRights((request) => request.query.user));
app.get("/session/rights", (request, response) => {
  const { rights = null, note = null } = request.session;
  response.json({ rights, note });
});
app.get("/session/slow-read", async (request, response) => {
  await sleep(SLOW);
  response.send("read");
});
app.get("/session/slow-write", async (request, response) => {
  await sleep(SLOW);
  request.session.note = "late";
  response.send("written");
});
app.listen(Number(process.env.PORT), "127.0.0.1");
