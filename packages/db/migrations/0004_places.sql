-- How many more instances the living nodes have room for. A user sees only their own rows, and this says only a number.
CREATE FUNCTION app.free_places() RETURNS bigint
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT sum(capacity) FROM public.nodes WHERE alive_until > statement_timestamp()), 0)
    - (SELECT count(*) FROM public.instances WHERE state NOT IN ('ended', 'failed'))
$$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION app.free_places() FROM PUBLIC;
--> statement-breakpoint
GRANT EXECUTE ON FUNCTION app.free_places() TO minimcp_api;
