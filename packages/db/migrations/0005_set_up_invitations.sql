ALTER TABLE "invitations" ADD COLUMN "for_set_up" boolean DEFAULT false NOT NULL;
--> statement-breakpoint
-- What they were known by before, as long as they are good.
UPDATE "invitations" SET "for_set_up" = true
  WHERE "role" = 'admin' AND "created_by" IS NULL AND "used_at" IS NULL AND "expires_at" > now();
