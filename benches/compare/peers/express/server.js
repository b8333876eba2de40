// Express with express-session and connect-redis, set up as in the readme of connect-redis
// (https://github.com/tj/connect-redis). Pages are rendered by EJS, which Express caches in production.
//
// PAGES=templates renders the template for each view. Without it, pages are rendered at launch and
// only filled in for each view. SESSIONS=off shows the same counts to every visitor. WORKERS=2 starts a
// cluster of two processes, as Express' guide for production recommends.

import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import cluster from "node:cluster";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "redis";
import { HEADERS, PAGES, Site } from "./site.js";

const DAY = 24 * 3600 * 1000;
// How long a slow request waits after it has read its session, in milliseconds.
const SLOW = 200;

const site = new Site(process.env.PAGES === "templates");

function view(page, request, response) {
  const held = request.session;
  const isReturning = held.views !== undefined;
  held.views ??= {};
  held.began ??= Date.now();
  held.instances ??= [];
  held.views[page.path] = (held.views[page.path] ?? 0) + 1;
  if (!held.instances.includes(site.instance)) held.instances.push(site.instance);
  answer(page, held, isReturning, request, response);
}

function answer(page, held, isReturning, request, response) {
  if (request.accepts(["html", "json"]) === "json") {
    response.json(site.counts(page, held));
    return;
  }
  const prebuilt = isReturning && site.prebuilt(page, held);
  if (prebuilt) {
    response.send(prebuilt);
  } else {
    response.render("page", site.context(page, held, isReturning));
  }
}

const seeSession = (response, next) => (error) =>
  error ? next(error) : response.redirect(303, "/session");

function application() {
  const app = express();
  app.set("view engine", "ejs");
  app.set("views", new URL("views", import.meta.url).pathname);
  // As in the other programs: no name of the software, and no ETag, because no answer may be cached.
  app.disable("x-powered-by");
  app.disable("etag");
  app.use((_request, response, next) => {
    response.set(HEADERS);
    next();
  });
  return app;
}

function bare(app) {
  for (const page of PAGES) {
    app.get(page.path, (request, response) => {
      answer(page, site.nobody(), true, request, response);
    });
  }
}

async function withSessions(app) {
  const client = createClient({ url: process.env.REDIS_URL });
  client.on("error", (error) => console.error(error.message));
  await client.connect();
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
}

// As in the example "User login" of the readme of express-session.
const gainRights = (rights) => (request, response, next) => {
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.rights = rights(request);
    return request.session.save(seeSession(response, next));
  });
};

const workers = Number(process.env.WORKERS ?? 1);
if (workers > 1 && cluster.isPrimary) {
  for (let worker = 0; worker < workers; worker += 1) cluster.fork();
  // The primary process ends when the workers have ended.
  process.once("SIGTERM", () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill();
  });
} else {
  const app = application();
  if (process.env.SESSIONS === "off") bare(app);
  else await withSessions(app);
  app.listen(Number(process.env.PORT), "127.0.0.1");
}
