-- Models whose files come from addresses. Their `origin` stays 'handler', as the CHECK of a table cannot be changed
-- without building it anew: `url_files` tells them apart.

-- JSON array of {url, path, sha256?, size?, credential?}. The addresses are whole, query and all: without it a signed
-- one would fetch nothing. Credentials are names of the configuration; their secrets are never here.
ALTER TABLE models ADD COLUMN url_files TEXT
  CHECK (url_files IS NULL OR (origin = 'handler' AND model_path IS NULL AND json_valid(url_files)));

-- A digest that begins with 16 zeros stands for a file whose hash nobody knows: it is never verified.
CREATE TRIGGER files_ai_unhashed AFTER INSERT ON files WHEN NEW.verified = 1 AND NEW.digest GLOB '0000000000000000*' BEGIN
  UPDATE files SET verified = 0 WHERE file_key = NEW.file_key;
END;
CREATE TRIGGER files_au_unhashed AFTER UPDATE OF verified, digest ON files
WHEN NEW.verified = 1 AND NEW.digest GLOB '0000000000000000*' BEGIN
  UPDATE files SET verified = 0 WHERE file_key = NEW.file_key;
END;

-- The server has another version of a file than the one that was begun, or names none: it begins anew, and the trail
-- says so.
CREATE TRIGGER files_bu_changed BEFORE UPDATE OF digest ON files
WHEN NEW.digest <> OLD.digest AND OLD.bytes_done > 0 BEGIN
  INSERT INTO events (at_ms, job_key, job_id, model_id, kind, detail)
  SELECT NEW.updated_at_ms, j.job_key, j.job_id, m.model_id, 'file_restarted', OLD.path
    FROM models m LEFT JOIN jobs j ON j.job_key = NEW.job_key WHERE m.model_key = OLD.model_key;
END;
