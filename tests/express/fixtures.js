// Prints the constants in the tests of `src/express/`: cookies that express-session has signed, and a
// record that connect-redis has stored. Argument: the URL of a running Redis.

import { RedisStore } from "connect-redis";
import session from "express-session";
import { createClient } from "redis";
import { sign } from "./sign.js";

const id = "PZ2oUXaX3o7pHMcz2Yzhf8QK4sW3w0Pa";
for (const [value, secret] of [[id, "keyboard cat"], [id, "older"], ["a.b", "keyboard cat"]]) {
  console.log(sign(value, secret));
}

const client = await createClient({ url: process.argv[2] }).connect();
const store = new RedisStore({ client, prefix: "fixture:" });
const cookie = new session.Cookie({ maxAge: 60_000 });
await store.set(id, { cookie, views: { "/foo": 3, "/bar": 1 }, user: null });
console.log(await client.getDel(`fixture:${id}`));
await client.close();
