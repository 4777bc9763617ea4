import superjson from "superjson";
import { describe, expect, test } from "vitest";

import { refuseHostileShape } from "../src/hostile-shape.ts";
import { transformer } from "../src/transformer.ts";

// The attack: an input that validation would refuse has already done its harm by then, while it was being parsed. A
// body of a few hundred bytes must not cost seconds or gigabytes, reach a prototype, or lose a field without a word.

/** As it arrives: JSON text, with keys that no object literal could carry. */
function receive(json: string): unknown {
  return transformer.deserialize(JSON.parse(json));
}

function nest(levels: number): string {
  return `{"json":${"[".repeat(levels)}${"]".repeat(levels)}}`;
}

describe("a caller's input", () => {
  test.each([
    { email: "ada@example.com", tools: ["a", "b"], config: { a_b: "1" } },
    { label: undefined, at: new Date(0), limit: Number.NaN },
    undefined,
    null,
    "text",
    [],
  ])("arrives as superjson sent it: %j", (input) => {
    expect(transformer.deserialize(JSON.parse(superjson.stringify(input)))).toEqual(input);
  });

  test.each(["null", "5", '"json"', "[]", '{"input":{}}', '{"json":{},"more":1}', '{"json":{},"meta":[]}'])(
    "is refused where it is no envelope: %s",
    (body) => {
      expect(() => receive(body)).toThrow(/^An input is sent as \{"json"/);
    },
  );

  test.each([
    [
      "a typed array, whose size is a number",
      '{"json":{"a":4e9},"meta":{"values":{"a":[["typed-array","Float64Array"]]},"v":1}}',
    ],
    ["a set", '{"json":{"a":[]},"meta":{"values":{"a":["set"]},"v":1}}'],
    ["a map", '{"json":{"a":[]},"meta":{"values":{"a":["map"]},"v":1}}'],
    ["a pattern", '{"json":{"a":"/(a+)+$/"},"meta":{"values":{"a":["regexp"]},"v":1}}'],
    ["a big integer", '{"json":{"a":"9"},"meta":{"values":{"a":["bigint"]},"v":1}}'],
    ["an error with a stack", '{"json":{"a":{"stack":"x"}},"meta":{"values":{"a":["Error"]},"v":1}}'],
    ["a class", '{"json":{"a":{}},"meta":{"values":{"a":[["class","User"]]},"v":1}}'],
    ["a kind inside a kind", '{"json":{"a":{}},"meta":{"values":{"a":["Date",{"b":["Date"]}]},"v":1}}'],
    ["a shared reference", '{"json":{"a":{},"b":0},"meta":{"referentialEqualities":{"a":["b"]},"v":1}}'],
    ["paths of an older superjson", '{"json":{"a":0},"meta":{"values":{"a":["Date"]},"v":0}}'],
  ])("does not become %s", (_kind, body) => {
    expect(() => receive(body)).toThrow(/^An input is sent as/);
  });

  test("of shared references that double level by level is refused at once", () => {
    const json: Record<string, unknown> = { n0: {} };
    const referentialEqualities: Record<string, string[]> = {};
    for (let level = 1; level < 31; level += 1) {
      json[`n${level}`] = [0, 0];
      referentialEqualities[`n${level - 1}`] = [`n${level}.0`, `n${level}.1`];
    }
    const body = JSON.stringify({ json, meta: { referentialEqualities, v: 1 } });
    const startedAt = performance.now();
    expect(() => receive(body)).toThrow(/^An input is sent as/);
    expect(performance.now() - startedAt).toBeLessThan(100);
  });

  test.each([
    '{"json":{"__proto__":{"role":"admin"}}}',
    '{"json":{"a":[{"b":{"__proto__":1}}]}}',
    '{"json":{"constructor":{"prototype":{}}}}',
    '{"json":{"a":{"prototype":1}}}',
    '{"json":{"a":{}},"meta":{"values":{"__proto__.role":["undefined"]},"v":1}}',
    '{"json":{"a":{}},"meta":{"values":{"a.constructor.prototype.role":["undefined"]},"v":1}}',
  ])("that reaches for a prototype is refused, and none is changed: %s", (body) => {
    expect(() => receive(body)).toThrow(/which is never allowed|is not allowed as a property/);
    expect({}).not.toHaveProperty("role");
  });

  test("nested 40,000 levels deep is refused, and 31 levels are not", () => {
    expect(() => receive(nest(40_000))).toThrow("nested deeper than 32 levels");
    expect(() => receive(nest(31))).not.toThrow();
  });

  test("cannot stretch an array beyond its elements", () => {
    expect(() => {
      refuseHostileShape(receive('{"json":{"a":[]},"meta":{"values":{"a.4000000000":["undefined"]},"v":1}}'));
    }).toThrow("has an array with holes");
  });

  test.each(["\0", "\uD800", "\uDC00x", "a\uDBFF"])("with %j in a text or a name is refused", (text) => {
    expect(() => receive(JSON.stringify({ json: { label: text } }))).toThrow("is not text");
    expect(() => receive(JSON.stringify({ json: { [text]: 1 } }))).toThrow("is not text");
  });

  test("with any other text arrives unchanged", () => {
    const label = "'; drop table users; --  😀\u200B\u202E\t\n\u0001\uFFFF";
    expect(receive(JSON.stringify({ json: { label } }))).toEqual({ label });
  });
});

test("shared and circular references from a script are walked once", () => {
  let graph: unknown = {};
  for (let level = 0; level < 30; level += 1) graph = [graph, graph];
  const circle: { self?: object } = {};
  circle.self = circle;
  const startedAt = performance.now();
  refuseHostileShape({ graph, circle });
  expect(performance.now() - startedAt).toBeLessThan(100);
});
