-- A plan belongs to a commit and to the selection that chose its files: when template or patterns change, the files
-- that were chosen before are no proof of completeness any more, and no plan to go on with.

ALTER TABLE files ADD COLUMN plan TEXT CHECK (plan <> '');   -- fingerprint of the selection that chose it; NULL = no plan wants it now

ALTER TABLE jobs ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));   -- its files were given with it, by a lock file
