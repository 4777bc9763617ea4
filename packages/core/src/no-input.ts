import { z } from "zod";

/** For what takes nothing: a field sent to it is refused by name, as everywhere, and not left to seem to count. */
export const NoInput = z.strictObject({}).optional();
