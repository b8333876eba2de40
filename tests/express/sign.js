// Signs cookies as express-session does, with its own library.

import { createRequire } from "node:module";

const library = createRequire(import.meta.resolve("express-session"))("cookie-signature");

export const sign = (id, secret = "keyboard cat") => encodeURIComponent(`s:${library.sign(id, secret)}`);
