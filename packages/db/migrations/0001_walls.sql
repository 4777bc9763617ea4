-- Roles, grants, row policies and the audit trail: the walls behind the checks in the code.
--
-- The owner (whoever runs the migrations) creates and alters. The product's processes connect as roles that own
-- nothing, bypass nothing, and reach only the columns that their work needs. Roles belong to the whole cluster,
-- so they may exist already; they get LOGIN and a password from the migration's caller, never from this file.

DO $$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['minimcp_api', 'minimcp_worker', 'minimcp_auditor', 'minimcp_archiver', 'minimcp_backup'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT', role_name);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      -- Another database of the same cluster was migrated at the same moment.
      NULL;
    END;
  END LOOP;
END
$$;
--> statement-breakpoint
REVOKE ALL ON SCHEMA public FROM PUBLIC;
--> statement-breakpoint
GRANT USAGE ON SCHEMA public TO minimcp_api, minimcp_worker, minimcp_backup;
--> statement-breakpoint
GRANT USAGE ON SCHEMA drizzle TO minimcp_api, minimcp_worker, minimcp_backup;
--> statement-breakpoint
GRANT SELECT ON drizzle.__drizzle_migrations TO minimcp_api, minimcp_worker, minimcp_backup;
--> statement-breakpoint

-- Who is asking, as the transaction says (see as(actor)). Nothing set means nobody: no rows.
CREATE SCHEMA app;
--> statement-breakpoint
GRANT USAGE ON SCHEMA app TO minimcp_api, minimcp_worker, minimcp_backup;
--> statement-breakpoint
CREATE FUNCTION app.user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT nullif(current_setting('app.user_id', true), '')::uuid $$;
--> statement-breakpoint
CREATE FUNCTION app.scope() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT nullif(current_setting('app.scope', true), '') $$;
--> statement-breakpoint
-- Sees every user's rows: an administrator, or the product itself.
CREATE FUNCTION app.sees_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT coalesce(current_setting('app.scope', true) IN ('admin', 'system'), false) $$;
--> statement-breakpoint

-- What the API may touch. It writes api_keys.sealed and can never read it back.
GRANT SELECT, INSERT ON users TO minimcp_api;
--> statement-breakpoint
GRANT UPDATE (name, role, status, token_epoch, deleted_at) ON users TO minimcp_api;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON credentials, sessions, refresh_tokens TO minimcp_api;
--> statement-breakpoint
GRANT SELECT, INSERT ON invitations, signing_keys, user_data_keys TO minimcp_api;
--> statement-breakpoint
GRANT UPDATE (used_at, used_by) ON invitations TO minimcp_api;
--> statement-breakpoint
GRANT SELECT (id, user_id, provider, label, data_key_id, hint, fingerprint, created_at, last_used_at, deleted_at) ON api_keys TO minimcp_api;
--> statement-breakpoint
GRANT INSERT ON api_keys TO minimcp_api;
--> statement-breakpoint
GRANT UPDATE (label, sealed, data_key_id, hint, fingerprint, deleted_at) ON api_keys TO minimcp_api;
--> statement-breakpoint
GRANT SELECT ON server_types, nodes TO minimcp_api;
--> statement-breakpoint
GRANT SELECT, INSERT ON instances, instance_tokens, receipts TO minimcp_api;
--> statement-breakpoint
GRANT UPDATE (label, state, end_reason, failure, expires_at, ended_at) ON instances TO minimcp_api;
--> statement-breakpoint
GRANT UPDATE (expires_at, revoked_at) ON instance_tokens TO minimcp_api;
--> statement-breakpoint
GRANT UPDATE (incomplete, closed_at, updated_at) ON receipts TO minimcp_api;
--> statement-breakpoint

-- What a worker may touch. It opens keys, and knows no password, session or refresh token.
GRANT SELECT (id, status) ON users TO minimcp_worker;
--> statement-breakpoint
GRANT SELECT ON server_types, user_data_keys, api_keys, instances, instance_tokens, receipts, nodes TO minimcp_worker;
--> statement-breakpoint
GRANT UPDATE (last_used_at) ON api_keys TO minimcp_worker;
--> statement-breakpoint
GRANT INSERT, UPDATE, DELETE ON nodes TO minimcp_worker;
--> statement-breakpoint
GRANT UPDATE (state, end_reason, failure, ready_at, ended_at, isolation, starts, node_id, node_epoch, fence, lease_until) ON instances TO minimcp_worker;
--> statement-breakpoint
GRANT INSERT, UPDATE ON receipts TO minimcp_worker;
--> statement-breakpoint

GRANT SELECT ON ALL TABLES IN SCHEMA public TO minimcp_backup;
--> statement-breakpoint

-- Row policies. FORCE holds for the owner too, so the owner and the backup are named: without that, a migration
-- or a dump would silently see nothing.
DO $$
DECLARE
  entry record;
BEGIN
  FOR entry IN
    SELECT * FROM (VALUES
      ('users', 'id'),
      ('credentials', 'user_id'),
      ('sessions', 'user_id'),
      ('refresh_tokens', 'user_id'),
      ('user_data_keys', 'user_id'),
      ('api_keys', 'user_id'),
      ('instances', 'user_id'),
      ('instance_tokens', 'user_id'),
      ('receipts', 'user_id')
    ) AS owned(table_name, owner_column)
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', entry.table_name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', entry.table_name);
    EXECUTE format('CREATE POLICY owner_all ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', entry.table_name);
    EXECUTE format('CREATE POLICY backup_reads ON %I FOR SELECT TO minimcp_backup USING (true)', entry.table_name);
    EXECUTE format(
      'CREATE POLICY api_own_rows ON %I TO minimcp_api USING (%I = app.user_id() OR app.sees_all()) WITH CHECK (%I = app.user_id() OR app.sees_all())',
      entry.table_name, entry.owner_column, entry.owner_column);
    -- A worker serves every user's instances; what it may do to them is in its column grants.
    EXECUTE format('CREATE POLICY worker_rows ON %I TO minimcp_worker USING (true) WITH CHECK (true)', entry.table_name);
  END LOOP;
END
$$;
--> statement-breakpoint

-- The audit trail. Rows enter only here; who acts comes from the transaction, not from an argument.
CREATE FUNCTION audit.append(
  action text,
  resource_type text,
  resource_id text,
  old_value jsonb,
  new_value jsonb,
  result text,
  error_message text,
  ip_address inet,
  user_agent text,
  request_id text
) RETURNS uuid LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO audit.events
    (id, "timestamp", user_id, action, resource_type, resource_id, old_value, new_value, ip_address, user_agent, result, error_message, request_id)
  VALUES
    (gen_random_uuid(), clock_timestamp(), app.user_id(), $1, $2, $3, $4, $5, $8, left($9, 512), $6, left($7, 1000), $10)
  RETURNING id
$$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION audit.append(text, text, text, jsonb, jsonb, text, text, inet, text, text) FROM PUBLIC;
--> statement-breakpoint
GRANT USAGE ON SCHEMA audit TO minimcp_api, minimcp_worker, minimcp_auditor, minimcp_archiver, minimcp_backup;
--> statement-breakpoint
GRANT EXECUTE ON FUNCTION audit.append(text, text, text, jsonb, jsonb, text, text, inet, text, text) TO minimcp_api, minimcp_worker;
--> statement-breakpoint
GRANT SELECT ON audit.events TO minimcp_auditor, minimcp_archiver, minimcp_backup;
--> statement-breakpoint
CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit events are append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
--> statement-breakpoint
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON audit.events
  FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
--> statement-breakpoint
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON audit.events
  FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
--> statement-breakpoint

-- Every change that a node must hear of announces itself, so that no verb can forget to. The renewal of a lease,
-- each second, does not.
CREATE FUNCTION app.announce_instance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('minimcp_instance', to_jsonb(NEW) ->> TG_ARGV[0]);
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER instances_announce AFTER INSERT OR UPDATE OF state, expires_at, config ON instances
  FOR EACH ROW EXECUTE FUNCTION app.announce_instance('id');
--> statement-breakpoint
CREATE TRIGGER instance_tokens_announce AFTER INSERT OR UPDATE ON instance_tokens
  FOR EACH ROW EXECUTE FUNCTION app.announce_instance('instance_id');
