// The project's own pages, with the same bytes and the same headers as the application's.

import ejs from "ejs";
import cluster from "node:cluster";
import { readFileSync } from "node:fs";

const DAY = 24 * 3600 * 1000;

export const HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "form-action 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy":
    "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
  "Cache-Control": "no-store",
  Vary: "Cookie, Accept",
};

// Tera escapes the slash as well.
export const PAGES = [
  {
    path: "/",
    href: "&#x2F;",
    title: "Home",
    lede:
      "Your browser carries a ticket. Any instance of this service can answer: it finds your " +
      "counts in Redis by that ticket, adds one, and forgets you.",
  },
  {
    path: "/foo",
    href: "&#x2F;foo",
    title: "Foo",
    lede:
      "This is another page with a count of its own. The ticket in your browser leads to this " +
      "count too.",
  },
  {
    path: "/bar",
    href: "&#x2F;bar",
    title: "Bar",
    lede:
      "This is a third page. Stay away for half an hour: the instance that answers you then may never " +
      "have met you, and still the count goes on.",
  },
];

const OTHERS = [
  { href: "&#x2F;session", title: "Session" },
  { href: "&#x2F;about", title: "About" },
];

const exact = (ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

function ago(ms) {
  const seconds = Math.floor(ms / 1000);
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [1, "second"];
  const count = Math.floor(seconds / size);
  if (count === 0) return "just now";
  return count === 1 ? `1 ${unit} ago` : `${count} ${unit}s ago`;
}

const count = (held, page) => held.views[page.path] ?? 0;

// What differs from view to view: three counts, three lengths of bars, the sum, and three times.
function values(held) {
  const counts = PAGES.map((page) => count(held, page));
  const highest = Math.max(...counts);
  const now = Date.now();
  return [
    ...counts,
    ...counts.map((views) => Math.floor((views * 100) / highest)),
    counts.reduce((sum, views) => sum + views),
    ago(now - held.began),
    exact(held.began),
    exact(now + DAY),
  ];
}

// The delimiters of a value's number in a page that is rendered at launch.
const PLACEHOLDERS = Array.from({ length: 10 }, (_, index) => `\ue000${index}\ue001`);

export class Site {
  // The processes of a cluster are one instance.
  instance = (cluster.isWorker ? process.ppid : process.pid).toString(16).padStart(6, "0");
  #pages = new Map();

  constructor(rendersEachView) {
    if (rendersEachView) return;
    const render = ejs.compile(readFileSync(new URL("views/page.ejs", import.meta.url), "utf8"));
    for (const page of PAGES) {
      const built = [999, 1000].map((views) => {
        const held = { ...this.nobody(), views: { [page.path]: views } };
        // Every other piece is the number of a value.
        return render(this.#context(page, held, true, PLACEHOLDERS)).split(/[\ue000\ue001]/);
      });
      this.#pages.set(page.path, built);
    }
  }

  // The counts that a program without sessions shows to every visitor.
  nobody() {
    const views = { "/": 500, "/foo": 500, "/bar": 500 };
    return { views, began: Date.now(), instances: [this.instance] };
  }

  counts(page, held) {
    const pages = Object.fromEntries(PAGES.map((it) => [it.path, count(held, it)]));
    return { page: page.path, views: count(held, page), pages };
  }

  // The first views draw a tally, and a session may have seen other processes. Such a page is not
  // prebuilt.
  prebuilt(page, held) {
    const views = count(held, page);
    const { instances } = held;
    const built = this.#pages.get(page.path);
    const isUsual = views > 150 && instances.length === 1 && instances[0] === this.instance;
    if (!built || !isUsual) return null;
    const pieces = built[views > 999 ? 1 : 0];
    const now = values(held);
    let html = pieces[0];
    for (let at = 1; at < pieces.length; at += 2) html += now[pieces[at]] + pieces[at + 1];
    return html;
  }

  context(page, held, isReturning) {
    return this.#context(page, held, isReturning, values(held));
  }

  #context(page, held, isReturning, values) {
    const index = PAGES.indexOf(page);
    const views = count(held, page);
    const began = { text: values[7], exact: values[8] };
    return {
      nav: [...PAGES, ...OTHERS].map((it) => ({ ...it, current: it === page })),
      instance: { id: this.instance, revision: "local" },
      page: {
        ...page,
        views: values[index],
        times: views === 1 ? "1 time" : `${values[index]} times`,
        isLong: views > 999,
        tally: views > 0 && views <= 150 ? views : null,
      },
      pages: PAGES.map((it, at) => ({
        ...it,
        views: values[at],
        percent: values[at + 3],
        current: it === page,
      })),
      total: values[6],
      instances: held.instances.map((id) => ({ id, current: id === this.instance })),
      began,
      expires: { text: "in 1 day", exact: values[9] },
      isReturning,
    };
  }
}
