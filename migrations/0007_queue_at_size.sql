-- A queue of 100,000 jobs answers as fast as one of ten: how many are queued is kept, not counted, and what is asked
-- often has an index that holds the whole answer.

CREATE TABLE tally (                           -- how many jobs are queued, by priority; kept by triggers
  priority INTEGER PRIMARY KEY,
  queued   INTEGER NOT NULL DEFAULT 0 CHECK (queued >= 0)
) STRICT;
INSERT INTO tally (priority, queued) SELECT priority, count(*) FROM jobs WHERE state = 'queued' GROUP BY priority;

CREATE TRIGGER jobs_ai_tally AFTER INSERT ON jobs WHEN NEW.state = 'queued' BEGIN
  INSERT INTO tally (priority, queued) VALUES (NEW.priority, 1)
  ON CONFLICT (priority) DO UPDATE SET queued = queued + 1;
END;
CREATE TRIGGER jobs_au_tally AFTER UPDATE OF state, priority ON jobs
WHEN NEW.state <> OLD.state OR NEW.priority <> OLD.priority BEGIN
  UPDATE tally SET queued = queued - 1 WHERE priority = OLD.priority AND OLD.state = 'queued';
  INSERT INTO tally (priority, queued) SELECT NEW.priority, 1 WHERE NEW.state = 'queued'
  ON CONFLICT (priority) DO UPDATE SET queued = queued + 1;
END;
CREATE TRIGGER jobs_ad_tally AFTER DELETE ON jobs WHEN OLD.state = 'queued' BEGIN
  UPDATE tally SET queued = queued - 1 WHERE priority = OLD.priority;
END;

-- What may run, in the order in which it would, with its due time; and the next due time.
CREATE INDEX jobs_runnable ON jobs (priority DESC, job_key, run_after_ms) WHERE state = 'queued' AND paused = 0;
CREATE INDEX jobs_due      ON jobs (run_after_ms) WHERE state = 'queued' AND paused = 0;
CREATE INDEX jobs_ended    ON jobs (state, job_key) WHERE finished_at_ms IS NOT NULL;

-- The files of a job in the order of their paths, a page at a time.
CREATE INDEX files_by_path ON files (job_key, path);
