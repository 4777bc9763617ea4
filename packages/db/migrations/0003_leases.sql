CREATE TABLE "port_leases" (
	"node_id" uuid NOT NULL,
	"port" integer NOT NULL,
	"instance_id" uuid NOT NULL,
	"fence" bigint NOT NULL,
	CONSTRAINT "port_leases_pkey" PRIMARY KEY("node_id","port"),
	CONSTRAINT "port_leases_instance_key" UNIQUE("instance_id")
);
--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "renewals" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "instances" ADD COLUMN "key_opened_fence" bigint;--> statement-breakpoint
ALTER TABLE "nodes" ADD COLUMN "capacity" integer DEFAULT 100 NOT NULL;--> statement-breakpoint
ALTER TABLE "receipts" ADD COLUMN "granted" jsonb DEFAULT '{"tools":[],"hosts":[]}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "receipts" ADD COLUMN "hosts" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "port_leases" ADD CONSTRAINT "port_leases_node_id_nodes_id_fk" FOREIGN KEY ("node_id") REFERENCES "public"."nodes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "port_leases" ADD CONSTRAINT "port_leases_instance_id_instances_id_fk" FOREIGN KEY ("instance_id") REFERENCES "public"."instances"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint

-- What receipts showed until now: what the catalogue says of the type.
UPDATE receipts SET granted = jsonb_build_object(
    'tools', coalesce((SELECT jsonb_agg(tool -> 'name') FROM jsonb_array_elements(server_types.declaration -> 'tools') AS tool), '[]'::jsonb),
    'hosts', coalesce(server_types.declaration -> 'hosts', '[]'::jsonb))
  FROM instances JOIN server_types ON server_types.id = instances.type_id
  WHERE instances.id = receipts.instance_id;
--> statement-breakpoint

GRANT UPDATE (renewals) ON instances TO minimcp_api;
--> statement-breakpoint
GRANT UPDATE (key_opened_fence) ON instances TO minimcp_worker;
--> statement-breakpoint
-- Ports are the nodes' own affair; they belong to no user and tell nothing of one.
GRANT SELECT, INSERT, UPDATE, DELETE ON port_leases TO minimcp_worker;
--> statement-breakpoint
GRANT SELECT ON port_leases TO minimcp_backup;
