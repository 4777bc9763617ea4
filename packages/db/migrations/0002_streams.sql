CREATE TABLE "instance_log_lines" (
	"instance_id" uuid NOT NULL,
	"user_id" uuid NOT NULL,
	"fence" bigint NOT NULL,
	"position" bigint NOT NULL,
	"bytes" integer NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"stream" text NOT NULL,
	"text" text NOT NULL,
	CONSTRAINT "instance_log_lines_pkey" PRIMARY KEY("instance_id","fence","position"),
	CONSTRAINT "instance_log_lines_stream_known" CHECK ("instance_log_lines"."stream" in ('stdout', 'stderr')),
	CONSTRAINT "instance_log_lines_short" CHECK (octet_length("instance_log_lines"."text") <= 16384)
);
--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "bearer_hash" "bytea";--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "bearer_epoch" integer;--> statement-breakpoint
ALTER TABLE "instance_log_lines" ADD CONSTRAINT "instance_log_lines_instance_id_instances_id_fk" FOREIGN KEY ("instance_id") REFERENCES "public"."instances"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "instance_log_lines" ADD CONSTRAINT "instance_log_lines_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "sessions_bearer_key" ON "sessions" USING btree ("bearer_hash") WHERE "sessions"."bearer_hash" is not null;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_bearer_has_epoch" CHECK (("sessions"."bearer_hash" is null) = ("sessions"."bearer_epoch" is null));--> statement-breakpoint

-- The walls around the new table, as around every other that belongs to somebody.
ALTER TABLE instance_log_lines ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE instance_log_lines FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY owner_all ON instance_log_lines TO CURRENT_USER USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY backup_reads ON instance_log_lines FOR SELECT TO minimcp_backup USING (true);
--> statement-breakpoint
CREATE POLICY api_own_rows ON instance_log_lines TO minimcp_api USING (user_id = app.user_id() OR app.sees_all()) WITH CHECK (user_id = app.user_id() OR app.sees_all());
--> statement-breakpoint
CREATE POLICY worker_rows ON instance_log_lines TO minimcp_worker USING (true) WITH CHECK (true);
--> statement-breakpoint
-- A line is written once and cut off later; nobody may change what it says.
GRANT SELECT ON instance_log_lines TO minimcp_api, minimcp_backup;
--> statement-breakpoint
GRANT SELECT, INSERT, DELETE ON instance_log_lines TO minimcp_worker;
--> statement-breakpoint

-- What an owner who watches must hear of, as '<user>/<instance>'. Apart from minimcp_instance, at which every node makes
-- a round: a count that has changed is nothing to a node. Only names travel, so whoever can listen learns no content.
CREATE FUNCTION app.announce_to_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('minimcp_watch', NEW.user_id || '/' || (to_jsonb(NEW) ->> TG_ARGV[0]));
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER instances_announce_to_owner AFTER INSERT OR UPDATE OF label, state, expires_at, failure, isolation ON instances
  FOR EACH ROW EXECUTE FUNCTION app.announce_to_owner('id');
--> statement-breakpoint
CREATE TRIGGER receipts_announce_to_owner AFTER UPDATE OF calls ON receipts
  FOR EACH ROW WHEN (OLD.calls <> NEW.calls) EXECUTE FUNCTION app.announce_to_owner('instance_id');
--> statement-breakpoint
-- Once a statement and instance, however many lines that brought.
CREATE FUNCTION app.announce_log_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('minimcp_log', added.user_id || '/' || added.instance_id)
    FROM (SELECT DISTINCT user_id, instance_id FROM added_lines) AS added;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER instance_log_lines_announce AFTER INSERT ON instance_log_lines
  REFERENCING NEW TABLE AS added_lines FOR EACH STATEMENT EXECUTE FUNCTION app.announce_log_lines();
