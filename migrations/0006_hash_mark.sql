-- How far a part was hashed when its ranges were recorded, so that going on does not read it all again: the part's name,
-- a space, the position, a colon, the state of the hash in hex. Of another part than part_name it means nothing.

ALTER TABLE files ADD COLUMN hash_mark TEXT CHECK (hash_mark GLOB '?* ?*:?*');
