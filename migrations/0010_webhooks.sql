-- Who wants to hear when a job ends, and what is still to be told. A delivery is written by the transaction that ends the job,
-- so none is lost in a crash. Addresses and secrets stay in the configuration: a webhook is known by a hash of its address.

CREATE TABLE webhooks (                        -- as the service was configured when it started last
  hook      TEXT PRIMARY KEY CHECK (length(hook) = 64 AND hook NOT GLOB '*[^0-9a-f]*'),
  completed INTEGER NOT NULL CHECK (completed IN (0, 1)),
  failed    INTEGER NOT NULL CHECK (failed IN (0, 1)),
  cancelled INTEGER NOT NULL CHECK (cancelled IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
  delivery_key  INTEGER PRIMARY KEY AUTOINCREMENT,
  hook          TEXT NOT NULL REFERENCES webhooks (hook) ON DELETE CASCADE,
  event         TEXT NOT NULL,
  body          TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  due_at_ms     INTEGER NOT NULL,
  tries         INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
  dead          INTEGER NOT NULL DEFAULT 0 CHECK (dead IN (0, 1)),   -- given up; kept for people, pruned by age
  last_error    TEXT
) STRICT;
CREATE INDEX deliveries_due ON deliveries (hook, delivery_key) WHERE dead = 0;

CREATE TRIGGER jobs_au_webhooks AFTER UPDATE OF state ON jobs
WHEN NEW.state <> OLD.state AND NEW.state IN ('completed', 'failed', 'cancelled') BEGIN
  INSERT INTO deliveries (hook, event, body, created_at_ms, due_at_ms)
  SELECT w.hook, 'job.' || NEW.state,
         json_object('event', 'job.' || NEW.state, 'job_id', NEW.job_id, 'model_id', m.model_id, 'kind', NEW.kind,
                     'state', NEW.state, 'commit', NEW.commit_sha, 'attempt', NEW.attempt,
                     'files_total', NEW.files_total, 'bytes_total', NEW.bytes_total, 'bytes_reused', NEW.bytes_reused,
                     'error', CASE WHEN NEW.error_code IS NULL THEN NULL
                                   ELSE json_object('code', NEW.error_code, 'message', NEW.error, 'remedy', NEW.remedy) END,
                     'enqueued_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.enqueued_at_ms / 1000, 'unixepoch'),
                     'finished_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.finished_at_ms / 1000, 'unixepoch')),
         NEW.finished_at_ms, NEW.finished_at_ms
    FROM webhooks w JOIN models m ON m.model_key = NEW.model_key
   WHERE CASE NEW.state WHEN 'completed' THEN w.completed WHEN 'failed' THEN w.failed ELSE w.cancelled END = 1;
END;

CREATE VIEW v_deliveries AS
SELECT substr(d.hook, 1, 12) AS hook,
       d.event,
       json_extract(d.body, '$.model_id') AS model,
       CASE WHEN d.dead = 1 THEN 'given up' WHEN d.tries = 0 THEN 'new' ELSE 'retried' END AS state,
       d.tries,
       strftime('%Y-%m-%dT%H:%M:%SZ', d.due_at_ms / 1000, 'unixepoch') AS due,
       coalesce(d.last_error, '') AS last_error
  FROM deliveries d
 ORDER BY d.delivery_key;
