import { z } from "zod";

/** An e-mail address, in lower case: it names the account, and two spellings must not be two accounts. */
export const EmailAddress = z.email().max(254).toLowerCase();

/** How somebody wants to be called. */
export const PersonName = z.string().trim().min(1).max(100);
