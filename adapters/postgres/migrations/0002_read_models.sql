-- The read models: one table each, all of one layout, and how far each projection has come.
-- A rebuild fills the next generation beside the live one; one update of projection_positions swaps them, so that
-- no reader waits and no DDL is needed.

CREATE TABLE gridproof.projection_positions (
    name text PRIMARY KEY,
    version integer NOT NULL,
    generation integer NOT NULL DEFAULT 1,
    position bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL,
    stopped_at bigint,
    stopped_reason text
);
GRANT SELECT, INSERT, UPDATE ON gridproof.projection_positions TO gridproof_app;

-- sort_key is null in rows that are a projection's own memory: no query sees those.
CREATE TABLE gridproof.rm_dr_events (
    generation integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    sort_key text COLLATE "C",
    tenant text,
    row jsonb NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, key)
) WITH (fillfactor = 70);
CREATE TABLE gridproof.rm_dispatches (LIKE gridproof.rm_dr_events INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE gridproof.rm_facilities (LIKE gridproof.rm_dr_events INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE gridproof.rm_portfolio (LIKE gridproof.rm_dr_events INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE gridproof.rm_audit_trail (LIKE gridproof.rm_dr_events INCLUDING ALL);
CREATE TABLE gridproof.rm_deadlines (LIKE gridproof.rm_dr_events INCLUDING ALL);

CREATE INDEX rm_dr_events_order ON gridproof.rm_dr_events (generation, sort_key, key);
CREATE INDEX rm_dr_events_tenant ON gridproof.rm_dr_events (generation, tenant, sort_key, key);
CREATE INDEX rm_dr_events_utility_event_id
    ON gridproof.rm_dr_events (generation, (row ->> 'utility_event_id'));
CREATE INDEX rm_dr_events_status ON gridproof.rm_dr_events (generation, (row ->> 'status'), sort_key, key);

CREATE INDEX rm_dispatches_order ON gridproof.rm_dispatches (generation, sort_key, key);
CREATE INDEX rm_dispatches_dr_event
    ON gridproof.rm_dispatches (generation, (row ->> 'dr_event_id'), sort_key, key);
CREATE INDEX rm_dispatches_facility
    ON gridproof.rm_dispatches (generation, (row ->> 'facility_id'), sort_key, key);
-- What the workers look for again and again, of any DR event: small however many dispatches have ended.
CREATE INDEX rm_dispatches_under_way
    ON gridproof.rm_dispatches (generation, (row ->> 'status'), sort_key, key)
    WHERE row ->> 'status' NOT IN ('restored', 'compensated', 'aborted', 'failed');

CREATE INDEX rm_facilities_order ON gridproof.rm_facilities (generation, sort_key, key);

CREATE INDEX rm_audit_trail_order ON gridproof.rm_audit_trail (generation, sort_key, key);
CREATE INDEX rm_audit_trail_dr_event
    ON gridproof.rm_audit_trail (generation, (row ->> 'dr_event_id'), sort_key, key);

CREATE INDEX rm_deadlines_order ON gridproof.rm_deadlines (generation, sort_key, key);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    gridproof.rm_dr_events, gridproof.rm_dispatches, gridproof.rm_facilities,
    gridproof.rm_portfolio, gridproof.rm_audit_trail, gridproof.rm_deadlines
TO gridproof_app;
