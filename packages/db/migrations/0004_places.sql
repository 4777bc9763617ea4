-- Whether there is a place for an instance that was inserted just now: of its user, and on the living nodes. It lets one
-- creation at a time go on from here to its commit, so that what it counts stays true; with nothing behind it but the
-- commit, that is a moment. A user sees only their own rows, and this says only a word.
--
-- VOLATILE and plpgsql: each statement has a snapshot of its own, so that the counting sees what was committed while
-- the lock was waited for.
CREATE FUNCTION app.take_place(user_id uuid, instances_per_user integer) RETURNS text
  LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  live bigint;
  own bigint;
BEGIN
  -- Two numbers that nothing else of the product uses.
  PERFORM pg_advisory_xact_lock(1296649805, 1);
  SELECT count(*), count(*) FILTER (WHERE instances.user_id = take_place.user_id) INTO live, own
    FROM public.instances WHERE state NOT IN ('ended', 'failed');
  IF own > instances_per_user THEN
    RETURN 'userLimit';
  END IF;
  IF live > (SELECT coalesce(sum(capacity), 0) FROM public.nodes WHERE alive_until > clock_timestamp()) THEN
    RETURN 'noCapacity';
  END IF;
  RETURN 'taken';
END
$$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION app.take_place(uuid, integer) FROM PUBLIC;
--> statement-breakpoint
GRANT EXECUTE ON FUNCTION app.take_place(uuid, integer) TO minimcp_api;
