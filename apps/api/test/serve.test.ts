import { expect, test } from "vitest";

import { listen } from "../src/serve.ts";

const loopback = { HOST: "127.0.0.1", API_PORT: 0, TLS_CERT_FILE: undefined, TLS_KEY_FILE: undefined };

test("a request before there is anything to serve is told to come back, and not left waiting", async () => {
  await using listening = await listen(loopback);
  const early = await fetch(`http://127.0.0.1:${listening.port}/readyz`);
  expect(early.status).toBe(503);
  expect(early.headers.get("retry-after")).toBe("1");

  listening.serve((_request, response) => response.end("served"));
  const later = await fetch(`http://127.0.0.1:${listening.port}/readyz`);
  expect(await later.text()).toBe("served");
});

test("an address in use is said at once", async () => {
  await using first = await listen(loopback);
  await expect(listen({ ...loopback, API_PORT: first.port })).rejects.toMatchObject({ code: "EADDRINUSE" });
});

test("closing ends idle connections that a client keeps open", async () => {
  const listening = await listen(loopback);
  listening.serve((_request, response) => response.end());
  await (await fetch(`http://127.0.0.1:${listening.port}/`)).arrayBuffer();
  const startedAt = performance.now();
  await listening[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});
