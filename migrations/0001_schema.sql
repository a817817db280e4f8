-- The tables of modelhaul. Times are INTEGER milliseconds since the Unix epoch (UTC), suffix _ms; all tables are STRICT.
-- Loads in SQLite 3.40 too, so that a distribution's sqlite3 shell can read and edit it:
--   UPDATE settings SET paused = 1;      stops the queue          DELETE FROM lease;   takes the work from its holder
--   SELECT * FROM v_queue;               who waits for what       v_progress v_lease v_failures v_events   the rest

PRAGMA application_id = 1835562348;

CREATE TABLE settings (                        -- one typed row
  id              INTEGER PRIMARY KEY CHECK (id = 1),
  paused          INTEGER NOT NULL DEFAULT 0     CHECK (paused IN (0, 1)),
  bandwidth_limit INTEGER                        CHECK (bandwidth_limit > 0),   -- bytes per second; NULL = as configured
  lease_ttl_ms    INTEGER NOT NULL DEFAULT 15000 CHECK (lease_ttl_ms BETWEEN 2000 AND 600000),
  keep_days       INTEGER NOT NULL DEFAULT 30    CHECK (keep_days BETWEEN 1 AND 36500),
  keep_jobs       INTEGER NOT NULL DEFAULT 1000  CHECK (keep_jobs >= 10),
  probe           INTEGER NOT NULL DEFAULT 0     -- grows when a readiness probe commits
) STRICT;
INSERT INTO settings (id) VALUES (1);

CREATE TABLE models (                          -- registrations: what may be downloaded, and what is complete
  model_key           INTEGER PRIMARY KEY AUTOINCREMENT,
  model_id            TEXT NOT NULL UNIQUE CHECK (length(model_id) BETWEEN 1 AND 321),
  kind                TEXT NOT NULL CHECK (kind IN ('caption', 'detection', 'diffusion_llm', 'generic')),
  origin              TEXT NOT NULL CHECK (origin IN ('hub', 'handler')),
  repo_id             TEXT CHECK (length(repo_id) BETWEEN 1 AND 200),
  revision            TEXT CHECK (length(revision) BETWEEN 1 AND 200),
  template            TEXT,
  variant             TEXT,
  allow_patterns      TEXT NOT NULL DEFAULT '[]',   -- JSON array of texts
  ignore_patterns     TEXT NOT NULL DEFAULT '[]',   -- JSON array of texts
  model_path          TEXT,
  description         TEXT,
  total_size_estimate INTEGER CHECK (total_size_estimate >= 0),
  file_count_estimate INTEGER CHECK (file_count_estimate >= 0),
  ready_commit        TEXT CHECK (length(ready_commit) = 40 AND ready_commit NOT GLOB '*[^0-9a-f]*'),
  ready_bytes         INTEGER CHECK (ready_bytes >= 0),
  ready_files         INTEGER CHECK (ready_files >= 0),
  ready_verified      INTEGER NOT NULL DEFAULT 0 CHECK (ready_verified IN (0, 1)),
  ready_at_ms         INTEGER,                      -- NULL = not complete
  created_at_ms       INTEGER NOT NULL,
  updated_at_ms       INTEGER NOT NULL,
  CHECK ((origin = 'hub') = (repo_id IS NOT NULL)),
  CHECK ((origin = 'hub') = (revision IS NOT NULL)),
  CHECK (origin = 'handler' OR model_path IS NULL),
  CHECK (origin = 'hub' OR (template IS NULL AND variant IS NULL)),
  CHECK ((ready_at_ms IS NULL) = (ready_bytes IS NULL)),
  CHECK ((ready_at_ms IS NULL) = (ready_files IS NULL)),
  CHECK (ready_at_ms IS NOT NULL OR (ready_commit IS NULL AND ready_verified = 0)),
  CHECK (origin = 'handler' OR (ready_at_ms IS NULL) = (ready_commit IS NULL))
) STRICT;

CREATE TABLE lease (                           -- who works; deleting the row takes the work away
  token          INTEGER PRIMARY KEY AUTOINCREMENT,   -- the fence; never goes back, even after DELETE
  slot           INTEGER NOT NULL DEFAULT 1 UNIQUE CHECK (slot = 1),
  holder         TEXT NOT NULL CHECK (holder <> ''),
  locked         INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)),
  beat           INTEGER NOT NULL DEFAULT 0,          -- +1 per renewal: others time this on their own clock
  acquired_at_ms INTEGER NOT NULL,
  renewed_at_ms  INTEGER NOT NULL,
  expires_at_ms  INTEGER NOT NULL                     -- for people; no decision rests on it
) STRICT;

CREATE TABLE job_transition (                  -- the legal steps, as data; a trigger refuses all others
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  PRIMARY KEY (from_state, to_state)
) STRICT, WITHOUT ROWID;
INSERT INTO job_transition (from_state, to_state) VALUES
  ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'failed'),
  ('running', 'completed'), ('running', 'failed'), ('running', 'cancelled'), ('running', 'queued'),
  ('failed', 'queued');

CREATE TABLE jobs (
  job_key             INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id              TEXT NOT NULL UNIQUE CHECK (length(job_id) = 36),
  model_key           INTEGER NOT NULL REFERENCES models (model_key) ON DELETE CASCADE,
  kind                TEXT NOT NULL DEFAULT 'download' CHECK (kind IN ('download', 'verify')),
  state               TEXT NOT NULL DEFAULT 'queued'
                      CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
  phase               TEXT CHECK (phase IN ('resolving', 'checking_cache', 'downloading', 'verifying', 'publishing')),
  wait_reason         TEXT CHECK (wait_reason IN ('retry_backoff', 'rate_limited', 'hub_unreachable', 'disk_full',
                                                  'cache_locked', 'auth_required', 'handler_missing', 'downloads_disabled')),
  run_after_ms        INTEGER NOT NULL,
  paused              INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  priority            INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
  attempt             INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  retries             INTEGER NOT NULL DEFAULT 0 CHECK (retries >= 0),
  lease_token         INTEGER REFERENCES lease (token),
  cancel_requested_ms INTEGER,
  commit_sha          TEXT CHECK (length(commit_sha) = 40 AND commit_sha NOT GLOB '*[^0-9a-f]*'),
  files_total         INTEGER CHECK (files_total >= 0),
  files_done          INTEGER NOT NULL DEFAULT 0 CHECK (files_done >= 0),
  bytes_total         INTEGER CHECK (bytes_total >= 0),
  bytes_done          INTEGER NOT NULL DEFAULT 0 CHECK (bytes_done >= 0),
  bytes_reused        INTEGER NOT NULL DEFAULT 0 CHECK (bytes_reused >= 0),
  rate                INTEGER NOT NULL DEFAULT 0 CHECK (rate >= 0),
  current_file        TEXT,
  last_byte_at_ms     INTEGER,
  progress_at_ms      INTEGER,                 -- last report of the worker (= heartbeat)
  error_code          TEXT CHECK (error_code <> ''),
  error               TEXT,
  remedy              TEXT,
  enqueued_at_ms      INTEGER NOT NULL,
  started_at_ms       INTEGER,
  updated_at_ms       INTEGER NOT NULL,
  finished_at_ms      INTEGER,
  cleared_at_ms       INTEGER,                 -- an administrator made the model's status forget this job
  CHECK ((state = 'running') = (lease_token IS NOT NULL)),
  CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at_ms IS NOT NULL)),
  CHECK (state = 'running' OR (phase IS NULL AND rate = 0)),
  CHECK (state = 'queued' OR wait_reason IS NULL),
  CHECK (state <> 'running' OR (attempt > 0 AND started_at_ms IS NOT NULL)),
  CHECK (state <> 'failed' OR error_code IS NOT NULL),
  CHECK (cleared_at_ms IS NULL OR finished_at_ms IS NOT NULL),
  CHECK (bytes_total IS NULL OR bytes_done <= bytes_total),
  CHECK (files_total IS NULL OR files_done <= files_total),
  CHECK (bytes_reused <= bytes_done),
  CHECK (state <> 'completed' OR (bytes_total IS NOT NULL AND bytes_done = bytes_total
                                  AND files_total IS NOT NULL AND files_done = files_total))
) STRICT;
CREATE UNIQUE INDEX jobs_one_active  ON jobs (model_key) WHERE state IN ('queued', 'running');   -- no duplicate
CREATE UNIQUE INDEX jobs_one_running ON jobs (state)     WHERE state = 'running';                -- one at a time
CREATE INDEX jobs_ready    ON jobs (priority DESC, job_key) WHERE state = 'queued';
CREATE INDEX jobs_finished ON jobs (finished_at_ms) WHERE finished_at_ms IS NOT NULL;
CREATE INDEX jobs_by_model ON jobs (model_key, job_key);

CREATE TABLE files (                           -- one file of a model at a commit; outlives its job, so the next one resumes
  file_key      INTEGER PRIMARY KEY,
  model_key     INTEGER NOT NULL REFERENCES models (model_key) ON DELETE CASCADE,
  commit_sha    TEXT NOT NULL CHECK (length(commit_sha) = 40 AND commit_sha NOT GLOB '*[^0-9a-f]*'),
  path          TEXT NOT NULL CHECK (path <> '' AND path NOT GLOB '/*'),
  size          INTEGER NOT NULL CHECK (size >= 0),
  digest        TEXT NOT NULL CHECK (length(digest) IN (40, 64) AND digest NOT GLOB '*[^0-9a-f]*'),
  state         TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'partial', 'done')),
  ranges        TEXT NOT NULL DEFAULT '',      -- '0-100,200-300': on disk and synced, never ahead of it
  bytes_done    INTEGER NOT NULL DEFAULT 0 CHECK (bytes_done >= 0),
  part_name     TEXT CHECK (part_name <> '' AND part_name NOT GLOB '*/*'),
  part_token    INTEGER,                       -- the lease under which the part was written last
  verified      INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
  job_key       INTEGER REFERENCES jobs (job_key) ON DELETE SET NULL,   -- the job that planned it last
  updated_at_ms INTEGER NOT NULL,
  UNIQUE (model_key, commit_sha, path),
  CHECK (bytes_done <= size),
  CHECK ((part_name IS NULL) = (part_token IS NULL)),
  CHECK (state <> 'pending' OR (bytes_done = 0 AND ranges = '' AND part_name IS NULL AND verified = 0)),
  CHECK (state <> 'partial' OR (part_name IS NOT NULL AND verified = 0)),
  CHECK (state <> 'done' OR (bytes_done = size AND ranges = '' AND part_name IS NULL))
) STRICT;
CREATE INDEX files_by_job    ON files (job_key, state);
CREATE INDEX files_by_part   ON files (part_name) WHERE part_name IS NOT NULL;
CREATE INDEX files_by_digest ON files (model_key, digest);

CREATE TABLE attempts (                        -- one row per try; kept by triggers
  job_key       INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
  attempt       INTEGER NOT NULL,
  lease_token   INTEGER NOT NULL,
  holder        TEXT NOT NULL,
  started_at_ms INTEGER NOT NULL,
  ended_at_ms   INTEGER,
  outcome       TEXT CHECK (outcome IN ('completed', 'failed', 'cancelled', 'retry', 'released', 'lost')),
  bytes_start   INTEGER NOT NULL DEFAULT 0,
  bytes_end     INTEGER,
  error_code    TEXT,
  error         TEXT,
  PRIMARY KEY (job_key, attempt),
  CHECK ((ended_at_ms IS NULL) = (outcome IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE events (                          -- the audit trail, of edits by hand too; rows are never changed, only pruned by age
  event_id    INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms       INTEGER NOT NULL,
  job_key     INTEGER,
  job_id      TEXT,
  model_id    TEXT,
  lease_token INTEGER,
  kind        TEXT NOT NULL CHECK (kind <> ''),
  from_state  TEXT,
  to_state    TEXT,
  detail      TEXT
) STRICT;
CREATE INDEX events_by_job ON events (job_key, event_id) WHERE job_key IS NOT NULL;
CREATE INDEX events_by_age ON events (at_ms);
