// The example in the readme of express-session, which counts the views of each path, with the store from
// the readme of connect-redis. Arguments: the port, and the URL of Redis.

import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";

const [port, url] = process.argv.slice(2);
const client = await createClient({ url }).connect();
const app = express();

app.use(
  session({
    store: new RedisStore({ client }),
    secret: "keyboard cat",
    resave: false,
    saveUninitialized: false,
  }),
);

app.use((request, _response, next) => {
  request.session.views ??= {};
  request.session.views[request.path] = (request.session.views[request.path] ?? 0) + 1;
  next();
});

app.get("/{*path}", (request, response) => {
  response.json({ views: request.session.views[request.path] });
});

app.listen(port, "127.0.0.1");
