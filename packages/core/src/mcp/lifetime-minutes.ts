import { z } from "zod";

/** How long an instance is to live. */
export const LifetimeMinutes = z
  .int("must be a whole number of minutes")
  .min(1, "must be at least 1 minute")
  .max(1440, "must be at most 1440 minutes (24 hours)");
