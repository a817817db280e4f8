-- For people at the sqlite3 shell. The program reads none of them.

CREATE VIEW v_now AS SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS ms;

CREATE VIEW v_queue AS
SELECT CASE j.state WHEN 'queued' THEN row_number() OVER (PARTITION BY j.state ORDER BY j.priority DESC, j.job_key) END AS place,
       m.model_id AS model,
       CASE WHEN j.state = 'running' AND j.cancel_requested_ms IS NOT NULL THEN 'running (being cancelled)'
            WHEN j.state = 'running' AND (j.paused = 1 OR s.paused = 1) THEN 'running (being paused)'
            WHEN j.state = 'running' AND l.expires_at_ms < n.ms
            THEN 'running (no sign of life for ' || ((n.ms - l.renewed_at_ms) / 1000) || 's)'
            WHEN j.state = 'running' THEN 'running (' || coalesce(j.phase, 'starting') || ')'
            WHEN j.paused = 1 THEN 'paused'
            WHEN s.paused = 1 THEN 'paused (whole queue)'
            WHEN j.run_after_ms > n.ms
            THEN 'waiting (' || coalesce(j.wait_reason, 'not before') || ', ' || ((j.run_after_ms - n.ms + 999) / 1000) || 's)'
            ELSE 'queued' END AS state,
       j.priority,
       j.attempt AS tries,
       CASE WHEN j.bytes_total > 0 THEN round(100.0 * j.bytes_done / j.bytes_total, 1) || '%' ELSE '' END AS done,
       strftime('%Y-%m-%dT%H:%M:%SZ', j.enqueued_at_ms / 1000, 'unixepoch') AS enqueued,
       coalesce(j.error_code || ': ' || substr(coalesce(j.error, ''), 1, 80), '') AS last_error,
       j.job_id AS job
  FROM jobs j JOIN models m ON m.model_key = j.model_key CROSS JOIN settings s CROSS JOIN v_now n
       LEFT JOIN lease l ON l.token = j.lease_token
 WHERE j.state IN ('queued', 'running')
 ORDER BY j.state = 'running' DESC, j.priority DESC, j.job_key;

CREATE VIEW v_progress AS
SELECT m.model_id AS model,
       coalesce(j.phase, j.state) AS doing,
       coalesce(j.current_file, '') AS file,
       j.files_done || '/' || coalesce(j.files_total, '?') AS files,
       CASE WHEN j.bytes_total > 0 THEN round(100.0 * j.bytes_done / j.bytes_total, 1) || '%' ELSE '' END AS done,
       printf('%.2f/%s GB', j.bytes_done / 1e9, coalesce(printf('%.2f', j.bytes_total / 1e9), '?')) AS size,
       CASE WHEN j.rate > 0 THEN printf('%.1f MB/s', j.rate / 1e6) ELSE '' END AS speed,
       CASE WHEN j.rate > 0 AND j.bytes_total IS NOT NULL THEN ((j.bytes_total - j.bytes_done) / j.rate) || 's' ELSE '' END AS time_left,
       CASE WHEN j.last_byte_at_ms IS NOT NULL THEN ((n.ms - j.last_byte_at_ms) / 1000) || 's ago' ELSE '' END AS last_byte,
       CASE WHEN j.progress_at_ms IS NOT NULL THEN ((n.ms - j.progress_at_ms) / 1000) || 's ago' ELSE '' END AS last_report,
       j.job_id AS job
  FROM jobs j JOIN models m ON m.model_key = j.model_key CROSS JOIN v_now n
 WHERE j.state IN ('queued', 'running')
 ORDER BY j.state = 'running' DESC, j.priority DESC, j.job_key;

CREATE VIEW v_lease AS
SELECT l.token, l.holder,
       CASE l.locked WHEN 1 THEN 'yes' ELSE 'no' END AS holds_file_lock,
       l.beat AS renewals,
       strftime('%Y-%m-%dT%H:%M:%SZ', l.acquired_at_ms / 1000, 'unixepoch') AS since,
       ((n.ms - l.renewed_at_ms) / 1000) || 's ago' AS renewed,
       CASE WHEN l.expires_at_ms < n.ms THEN 'EXPIRED ' || ((n.ms - l.expires_at_ms) / 1000) || 's ago'
            ELSE 'in ' || ((l.expires_at_ms - n.ms) / 1000) || 's' END AS expires,
       coalesce((SELECT m.model_id FROM jobs j JOIN models m ON m.model_key = j.model_key
                  WHERE j.state = 'running' AND j.lease_token = l.token), 'idle') AS works_on
  FROM lease l CROSS JOIN v_now n;

CREATE VIEW v_failures AS
SELECT strftime('%Y-%m-%dT%H:%M:%SZ', j.finished_at_ms / 1000, 'unixepoch') AS at,
       m.model_id AS model, j.attempt AS tries, j.error_code AS code, j.error, coalesce(j.remedy, '') AS what_to_do,
       CASE WHEN j.cleared_at_ms IS NULL THEN '' ELSE 'yes' END AS cleared,
       j.job_id AS job
  FROM jobs j JOIN models m ON m.model_key = j.model_key
 WHERE j.state = 'failed'
 ORDER BY j.finished_at_ms DESC;

CREATE VIEW v_events AS
SELECT event_id AS id, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at,
       coalesce(model_id, '') AS model, kind,
       CASE WHEN from_state IS NOT NULL AND to_state IS NOT NULL THEN from_state || ' -> ' || to_state
            ELSE coalesce(from_state, to_state, '') END AS change,
       coalesce(detail, '') AS detail, lease_token AS lease, job_id AS job
  FROM events ORDER BY event_id DESC;
