-- Comparing what is in the cache with its digests: which jobs repair, and which files were found wrong.

-- Whether a job of kind 'verify' also fetches what it finds wrong.
ALTER TABLE jobs ADD COLUMN repair INTEGER NOT NULL DEFAULT 0 CHECK (repair IN (0, 1));

-- Whether the content under the file's final name was read and is not what its digest says.
ALTER TABLE files ADD COLUMN corrupt INTEGER NOT NULL DEFAULT 0
  CHECK (corrupt IN (0, 1) AND (corrupt = 0 OR (state = 'done' AND verified = 0)));

-- The verify job that compared the file last and has not ended yet; it does not compare it again after a restart.
ALTER TABLE files ADD COLUMN checked_job INTEGER;
