import { InvalidInput } from "@minimcp/core";
import superjson, { type SuperJSONResult } from "superjson";
import { z } from "zod";

import { refuseHostileShape } from "./hostile-shape.ts";

/**
 * What an input may hold beyond JSON. superjson knows more kinds and builds them on the caller's word alone: a typed
 * array of gigabytes from one number, a graph that takes 2^30 steps to walk from a few shared references.
 */
const Kind = z.tuple([z.enum(["undefined", "Date", "number"])]);

const Envelope = z.strictObject({
  json: z.unknown().optional(),
  meta: z
    .strictObject({
      values: z.union([Kind, z.record(z.string(), Kind)]).optional(),
      v: z.literal(1).optional(),
    })
    .optional(),
});

/** superjson, with nothing but plain values accepted from a caller. */
export const transformer = {
  serialize: (output: unknown): SuperJSONResult => superjson.serialize(output),
  /** @throws InvalidInput */
  deserialize(received: unknown): unknown {
    const envelope = Envelope.safeParse(received);
    if (!envelope.success) {
      throw new InvalidInput(
        "input.invalid",
        'An input is sent as {"json": …}, with "meta" as superjson writes it for undefined, Date and number.',
      );
    }
    // Before superjson sees it: its copy leaves __proto__ out without a word.
    refuseHostileShape(envelope.data.json);
    return superjson.deserialize(received as SuperJSONResult);
  },
};
