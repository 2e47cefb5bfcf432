-- expand
-- administrative_acts lists the changes of facilities and programs too: here those that are recorded already. Processes of
-- before do not add theirs; the contracting migration behind this one adds them. No write to the log waits for it.
INSERT INTO gridproof.administrative_acts (position)
SELECT notification_id FROM gridproof.demand_response_events
WHERE (topic LIKE 'facility.%' OR topic LIKE 'program.%' OR topic = 'dispatch.forecast-overridden.v1')
    AND topic NOT IN (
        'facility.reserved.v1', 'facility.released.v1', 'facility.restore-awaited.v1', 'facility.restore-confirmed.v1'
    )
ON CONFLICT DO NOTHING;
