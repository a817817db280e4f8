-- Triggers keep the transition table, the fence and the books, so that each operation of the program is one short
-- statement, and an edit by hand in the sqlite3 shell leaves the same trail and breaks nothing.

-- The legal steps --------------------------------------------------------------------------------------------------

CREATE TRIGGER jobs_bi BEFORE INSERT ON jobs WHEN NEW.state <> 'queued' BEGIN
  SELECT RAISE(ABORT, 'a job begins queued');
END;
CREATE TRIGGER jobs_bu_identity BEFORE UPDATE OF job_key, job_id, model_key ON jobs
WHEN NEW.job_key <> OLD.job_key OR NEW.job_id <> OLD.job_id OR NEW.model_key <> OLD.model_key BEGIN
  SELECT RAISE(ABORT, 'a job keeps its id and its model');
END;
CREATE TRIGGER jobs_bu_state BEFORE UPDATE OF state ON jobs
WHEN NEW.state <> OLD.state AND NOT EXISTS
     (SELECT 1 FROM job_transition t WHERE t.from_state = OLD.state AND t.to_state = NEW.state) BEGIN
  SELECT RAISE(ABORT, 'this step between job states is not allowed');
END;
-- The last line of fencing, for any client: nothing runs without its lease.
CREATE TRIGGER jobs_bu_fence BEFORE UPDATE ON jobs
WHEN NEW.state = 'running' AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.token = NEW.lease_token) BEGIN
  SELECT RAISE(ABORT, 'fenced: there is no such lease');
END;
CREATE TRIGGER jobs_bd BEFORE DELETE ON jobs WHEN OLD.state = 'running' BEGIN
  SELECT RAISE(ABORT, 'the job runs: cancel it, or DELETE FROM lease, first');
END;
CREATE TRIGGER models_bd BEFORE DELETE ON models BEGIN
  SELECT RAISE(ABORT, 'a job for this model is active: cancel it first')
   WHERE EXISTS (SELECT 1 FROM jobs WHERE model_key = OLD.model_key AND state IN ('queued', 'running'));
  DELETE FROM attempts WHERE job_key IN (SELECT job_key FROM jobs WHERE model_key = OLD.model_key);
  DELETE FROM files WHERE model_key = OLD.model_key;
  DELETE FROM jobs WHERE model_key = OLD.model_key;
END;
CREATE TRIGGER lease_bu_token BEFORE UPDATE OF token ON lease WHEN NEW.token <> OLD.token BEGIN
  SELECT RAISE(ABORT, 'a lease keeps its token');
END;
CREATE TRIGGER events_bu BEFORE UPDATE ON events BEGIN
  SELECT RAISE(ABORT, 'events are never changed');
END;

-- The books of a job -----------------------------------------------------------------------------------------------

CREATE TRIGGER jobs_ai AFTER INSERT ON jobs BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, kind, to_state)
  SELECT NEW.enqueued_at_ms, NEW.job_key, NEW.job_id, m.model_id, 'enqueued', NEW.state
    FROM models m WHERE m.model_key = NEW.model_key;
END;
CREATE TRIGGER jobs_au_start AFTER UPDATE OF state ON jobs WHEN NEW.state = 'running' AND OLD.state <> 'running' BEGIN
  INSERT INTO attempts (job_key, attempt, lease_token, holder, started_at_ms, bytes_start)
  SELECT NEW.job_key, NEW.attempt, NEW.lease_token, l.holder, NEW.updated_at_ms, NEW.bytes_done
    FROM lease l WHERE l.token = NEW.lease_token;
END;
CREATE TRIGGER jobs_au_stop AFTER UPDATE OF state ON jobs WHEN OLD.state = 'running' AND NEW.state <> 'running' BEGIN
  UPDATE attempts
     SET ended_at_ms = NEW.updated_at_ms, bytes_end = NEW.bytes_done, error_code = NEW.error_code, error = NEW.error,
         outcome = CASE WHEN NEW.state <> 'queued' THEN NEW.state
                        WHEN NEW.error_code IS NULL THEN 'released'
                        WHEN NEW.error_code = 'lease_lost' THEN 'lost'
                        ELSE 'retry' END
   WHERE job_key = NEW.job_key AND attempt = OLD.attempt;
END;
CREATE TRIGGER jobs_au_state AFTER UPDATE OF state ON jobs WHEN NEW.state <> OLD.state BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, lease_token, kind, from_state, to_state, detail)
  SELECT NEW.updated_at_ms, NEW.job_key, NEW.job_id, m.model_id, coalesce(NEW.lease_token, OLD.lease_token), 'state',
         OLD.state, NEW.state, coalesce(NEW.wait_reason, NEW.error_code)
    FROM models m WHERE m.model_key = NEW.model_key;
END;
CREATE TRIGGER jobs_au_phase AFTER UPDATE OF phase ON jobs WHEN NEW.phase IS NOT NULL AND NEW.phase IS NOT OLD.phase BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, lease_token, kind, detail)
  SELECT NEW.updated_at_ms, NEW.job_key, NEW.job_id, m.model_id, NEW.lease_token, 'phase', NEW.phase
    FROM models m WHERE m.model_key = NEW.model_key;
END;
CREATE TRIGGER jobs_au_paused AFTER UPDATE OF paused ON jobs WHEN NEW.paused <> OLD.paused BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, kind)
  SELECT NEW.updated_at_ms, NEW.job_key, NEW.job_id, m.model_id, CASE NEW.paused WHEN 1 THEN 'paused' ELSE 'resumed' END
    FROM models m WHERE m.model_key = NEW.model_key;
END;
CREATE TRIGGER jobs_au_cancel AFTER UPDATE OF cancel_requested_ms ON jobs
WHEN OLD.cancel_requested_ms IS NULL AND NEW.cancel_requested_ms IS NOT NULL BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, kind)
  SELECT NEW.updated_at_ms, NEW.job_key, NEW.job_id, m.model_id, 'cancel_requested'
    FROM models m WHERE m.model_key = NEW.model_key;
END;
CREATE TRIGGER jobs_au_cleared AFTER UPDATE OF cleared_at_ms ON jobs
WHEN OLD.cleared_at_ms IS NULL AND NEW.cleared_at_ms IS NOT NULL BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, kind)
  SELECT NEW.updated_at_ms, NEW.job_key, NEW.job_id, m.model_id, 'cleared'
    FROM models m WHERE m.model_key = NEW.model_key;
END;
CREATE TRIGGER jobs_ad AFTER DELETE ON jobs WHEN OLD.state = 'queued' BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, kind, from_state)
  SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), OLD.job_key, OLD.job_id, m.model_id, 'deleted', OLD.state
    FROM models m WHERE m.model_key = OLD.model_key;
END;
-- A report of the worker is the heartbeat: one commit carries both.
CREATE TRIGGER jobs_au_beat AFTER UPDATE OF progress_at_ms ON jobs WHEN NEW.state = 'running' BEGIN
  UPDATE lease SET beat = beat + 1, renewed_at_ms = NEW.progress_at_ms,
         expires_at_ms = NEW.progress_at_ms + (SELECT lease_ttl_ms FROM settings)
   WHERE token = NEW.lease_token;
END;

-- The lease --------------------------------------------------------------------------------------------------------

-- Also picks up what runs under a lease that is gone without this file's triggers having seen it go.
CREATE TRIGGER lease_ai AFTER INSERT ON lease BEGIN
  UPDATE jobs SET state = CASE WHEN cancel_requested_ms IS NULL THEN 'queued' ELSE 'cancelled' END,
         finished_at_ms = CASE WHEN cancel_requested_ms IS NULL THEN NULL ELSE NEW.acquired_at_ms END,
         error_code = CASE WHEN cancel_requested_ms IS NULL THEN 'lease_lost' END,
         error = CASE WHEN cancel_requested_ms IS NULL THEN 'the worker was gone before the download ended' END,
         remedy = NULL, lease_token = NULL, phase = NULL, rate = 0, current_file = NULL, updated_at_ms = NEW.acquired_at_ms
   WHERE state = 'running' AND lease_token <> NEW.token;
  INSERT INTO events (at_ms, lease_token, kind, detail)
  VALUES (NEW.acquired_at_ms, NEW.token, 'lease_acquired', NEW.holder);
END;
-- Whatever ran goes back to the queue; its retries stay as they are. One that was to be cancelled is.
CREATE TRIGGER lease_bd BEFORE DELETE ON lease BEGIN
  UPDATE jobs SET state = CASE WHEN cancel_requested_ms IS NULL THEN 'queued' ELSE 'cancelled' END,
         finished_at_ms = CASE WHEN cancel_requested_ms IS NOT NULL
                               THEN CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) END,
         error_code = CASE WHEN cancel_requested_ms IS NULL THEN 'lease_lost' END,
         error = CASE WHEN cancel_requested_ms IS NULL THEN 'the worker was gone before the download ended' END,
         remedy = NULL, lease_token = NULL, phase = NULL, rate = 0, current_file = NULL,
         updated_at_ms = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
   WHERE state = 'running' AND lease_token = OLD.token;
  INSERT INTO events (at_ms, lease_token, kind, detail)
  VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), OLD.token, 'lease_deleted', OLD.holder);
END;

-- Models and settings ----------------------------------------------------------------------------------------------

CREATE TRIGGER models_ai AFTER INSERT ON models BEGIN
  INSERT INTO events (at_ms, model_id, kind) VALUES (NEW.created_at_ms, NEW.model_id, 'model_added');
END;
CREATE TRIGGER models_au_ready AFTER UPDATE OF ready_at_ms ON models
WHEN (NEW.ready_at_ms IS NULL) <> (OLD.ready_at_ms IS NULL) OR NEW.ready_commit IS NOT OLD.ready_commit BEGIN
  INSERT INTO events (at_ms, model_id, kind, detail)
  VALUES (NEW.updated_at_ms, NEW.model_id, CASE WHEN NEW.ready_at_ms IS NULL THEN 'model_not_ready' ELSE 'model_ready' END,
          NEW.ready_commit);
END;
CREATE TRIGGER models_ad AFTER DELETE ON models BEGIN
  INSERT INTO events (at_ms, model_id, kind)
  VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), OLD.model_id, 'model_removed');
END;
CREATE TRIGGER settings_au_paused AFTER UPDATE OF paused ON settings WHEN NEW.paused <> OLD.paused BEGIN
  INSERT INTO events (at_ms, kind)
  VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER),
          CASE NEW.paused WHEN 1 THEN 'queue_paused' ELSE 'queue_resumed' END);
END;
