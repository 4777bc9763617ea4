import { request as httpRequest } from "node:http";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { type Account, createAdmin, password } from "../support/accounts.ts";
import { hasChromium, type RunningDashboard, startChromium, startDashboard } from "../support/dashboard.ts";
import { type Product, startProduct } from "../support/product.ts";

/*
 * Attacks: a page of another origin has the browser of somebody who is signed in send requests; somebody stole a copy
 * of the cookie; a page was made to contain a script of a stranger.
 */

let product: Product;
let owner: Account;
let dashboard: RunningDashboard;

beforeAll(async () => {
  product = await startProduct({ worker: false });
  owner = await createAdmin(product);
  dashboard = await startDashboard({ apiUrl: product.api.url });
});

afterAll(async () => {
  await dashboard[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
});

const own = { "sec-fetch-site": "same-origin", "content-type": "application/json" };

interface Sent {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

async function send(path: string, { method = "GET", headers = {}, body }: Sent = {}): Promise<Response> {
  return await fetch(dashboard.url + path, {
    method,
    headers,
    redirect: "manual",
    ...(body === undefined ? {} : { body }),
  });
}

async function signIn(headers: Record<string, string> = {}): Promise<Response> {
  return await trySignIn({ email: owner.email, password }, headers);
}

async function trySignIn(credentials: object, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify(credentials);
  return await send("/api/session", { method: "POST", headers: { ...own, ...headers }, body });
}

function cookieOf(response: Response): string {
  return response.headers.getSetCookie()[0]?.split(";")[0] ?? "";
}

/** What every answer has, whatever it is. */
function expectWalls(headers: Headers, path: string): void {
  expect(Object.fromEntries(headers), path).toMatchObject({
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": expect.stringContaining("camera=()"),
    "content-security-policy": expect.stringContaining("frame-ancestors 'none'"),
  });
  for (const name of ["access-control-allow-origin", "x-powered-by", "server"]) {
    expect(headers.get(name), `${name} of ${path}`).toBeNull();
  }
}

describe("every answer", () => {
  test.each(["/sign-in", "/", "/no/such/page", "/api/live", "/icon.svg", "/api/session"])(
    "of %s carries the headers that keep strangers out",
    async (path) => {
      const { headers } = await send(path);
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy).toMatch(/script-src 'self' 'nonce-[\w+/=]{24}' 'strict-dynamic'/);
      expect(policy).not.toContain("unsafe");
      expectWalls(headers, path);
    },
  );

  test("of a file of the build carries them too, is kept by browsers, and one that is not there is no page", async () => {
    const page = await (await send("/sign-in")).text();
    const files = new Set(page.match(/\/_next\/static\/[^"\\]+\.(?:js|css)/g));
    expect([...files].map((file) => file.slice(file.lastIndexOf("."))).toSorted()).toContain(".css");
    for (const file of files) {
      const { status, headers } = await send(file);
      expect(status, file).toBe(200);
      expectWalls(headers, file);
      expect(headers.get("cache-control"), file).toBe("public, max-age=31536000, immutable");
    }
    const missing = await send("/_next/static/no/such/file.js");
    expect(missing.status).toBe(404);
    expectWalls(missing.headers, "a file that is not there");
    expect(missing.headers.get("cache-control")).toContain("no-store");
    expect(missing.headers.get("content-type")).toContain("text/plain");
  });

  test("with something of the session in it is never stored", async () => {
    const headers = { cookie: cookieOf(await signIn()) };
    for (const path of ["/", "/keys", "/instances/new", "/api/live", "/sign-in"]) {
      const response = await send(path, { headers });
      expect(response.headers.get("cache-control"), path).toContain("no-store");
      await response.body?.cancel();
    }
  });

  test("has a nonce of its own, on every one of its scripts", async () => {
    const nonces = new Set<string>();
    for (let round = 0; round < 2; round++) {
      const response = await send("/sign-in");
      const nonce = /'nonce-([^']+)'/.exec(response.headers.get("content-security-policy") ?? "")?.[1] ?? "";
      nonces.add(nonce);
      const scripts = (await response.text()).match(/<script\b[^>]*>/g) ?? [];
      expect(scripts.length).toBeGreaterThan(0);
      expect(scripts.filter((script) => !script.includes(`nonce="${nonce}"`))).toEqual([]);
    }
    expect(nonces.size).toBe(2);
  });
});

describe("a request that changes something", () => {
  test.each<[string, Record<string, string>]>([
    ["another site", { ...own, "sec-fetch-site": "cross-site" }],
    ["another origin of the same site", { ...own, "sec-fetch-site": "same-site" }],
    [
      "an old browser at another origin",
      { "content-type": "application/json", origin: "https://evil.example" },
    ],
    ["an opaque origin", { "content-type": "application/json", origin: "null" }],
    ["nowhere", { "content-type": "application/json" }],
  ])("from %s is refused", async (_, headers) => {
    const cookie = cookieOf(await signIn());
    const body = JSON.stringify({ provider: "github", label: "planted", secret: "ghp_0123456789abcdef" });
    const response = await send("/api/keys", { method: "POST", headers: { ...headers, cookie }, body });
    expect(response.status).toBe(403);
  });

  test("is refused unless it is JSON, and unless it has the method for it", async () => {
    const cookie = cookieOf(await signIn());
    const typed = { ...own, cookie, "content-type": "text/plain" };
    expect((await send("/api/keys", { method: "POST", headers: typed, body: "{}" })).status).toBe(415);
    const form = { ...own, cookie, "content-type": "application/x-www-form-urlencoded" };
    expect((await send("/api/keys", { method: "POST", headers: form, body: "a=b" })).status).toBe(415);
    const instance = "/api/instances/3f1c2a44-0000-4000-8000-000000000000";
    for (const path of ["/api/keys", "/api/instances", instance, `${instance}/renewals`, "/api/session"]) {
      expect((await send(path, { headers: { cookie } })).status, path).toBe(405);
    }
  });

  test("is refused to who is not signed in", async () => {
    const response = await send("/api/keys", { method: "POST", headers: own, body: "{}" });
    expect(response.status).toBe(401);
  });
});

test("what changes is streamed to nobody who is not signed in", async () => {
  const instance = "/api/instances/3f1c2a44-0000-4000-8000-000000000000";
  for (const path of ["/api/live", `${instance}/live`, `${instance}/log`]) {
    for (const cookie of ["", "__Host-minimcp_session=planted"]) {
      expect((await send(path, { headers: { cookie } })).status, path).toBe(401);
    }
  }
});

test("a request for another name, as after DNS rebinding, gets no page", async () => {
  const status = await new Promise((resolve, reject) => {
    const { port } = new URL(dashboard.url);
    const asked = httpRequest({ host: "127.0.0.1", port, headers: { host: "rebound.example" } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.once("error", reject);
    asked.end();
  });
  expect(status).toBe(421);
});

describe("the session", () => {
  test("is a new one at each sign-in, whatever cookie the browser brought", async () => {
    const first = await signIn();
    const second = await signIn({ cookie: cookieOf(first) });
    expect(second.status).toBe(200);
    expect(cookieOf(second)).not.toBe(cookieOf(first));
    expect(second.headers.getSetCookie()).toHaveLength(1);
    const attributes = second.headers.getSetCookie()[0] ?? "";
    for (const wanted of ["__Host-minimcp_session=", "Secure", "HttpOnly", "SameSite=strict", "Path=/"]) {
      expect(attributes).toContain(wanted);
    }
    expect(attributes).not.toContain("Domain");
    const planted = await signIn({ cookie: "__Host-minimcp_session=planted" });
    expect(cookieOf(planted)).not.toContain("planted");
  });

  test("of a copied cookie is over when its owner signs out, and the browser is told to forget", async () => {
    const headers = { ...own, cookie: cookieOf(await signIn()) };
    const before = await send("/api/live", { headers });
    expect(before.headers.get("content-type")).toContain("text/event-stream");
    await before.body?.cancel();

    const out = await send("/api/session", { method: "DELETE", headers, body: "{}" });
    expect(out.status).toBe(200);
    expect(out.headers.get("clear-site-data")).toContain('"storage"');
    // Each process of the API remembers for a second that a session was live.
    const path = "/api/keys/3f1c2a44-0000-4000-8000-000000000000";
    const replay = async () => (await send(path, { method: "DELETE", headers, body: "{}" })).status;
    await expect.poll(replay, { timeout: 3_000 }).toBe(401);
  });

  test("is refused with a wrong password, in a sentence that tells nothing of the account", async () => {
    const wrong = "not this password";
    const known = await trySignIn({ email: owner.email, password: wrong });
    const unknown = await trySignIn({ email: "nobody@example.com", password: wrong });
    expect(known.headers.getSetCookie()).toEqual([]);
    expect(known.status).toBe(unknown.status);
    const answer = await known.json();
    expect(answer).toMatchObject({ message: "The e-mail address or the password is wrong." });
    // But for the number of the request they are the same.
    expect(await unknown.json()).toEqual({ ...Object(answer), requestId: expect.any(String) });
  });
});

test.runIf(hasChromium())(
  "a script that got into a page does not run, and the policy's stop is reported",
  async () => {
    await using browser = await startChromium();
    const context = await browser.newContext({ baseURL: dashboard.url });
    const page = await context.newPage();
    await page.goto("/sign-in");
    const reported = page.waitForEvent("console", (message) =>
      message.text().includes("Content Security Policy"),
    );
    await page.evaluate(`(() => {
    document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.ran = true'>");
    const script = document.createElement("div");
    script.innerHTML = "<a href='javascript:window.ran = true' id='bad'>x</a>";
    document.body.append(script);
    document.getElementById("bad").click();
  })()`);
    await reported;
    expect(await page.evaluate("window.ran")).toBeUndefined();
  },
);
