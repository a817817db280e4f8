"""Writes tests/data/fnmatch.json: what Python's fnmatch.fnmatchcase says to pairs of pattern and name.

Run: python3 scripts/fnmatch-golden.py > tests/data/fnmatch.json
"""

import fnmatch
import json
import random

GROUPS = [
    (
        ["*", "**", "*.json", "**/x.json", "**/*.json", "a/*", "a/**", "a/**/b", "a/*/b", "*/*", "a*", "*a", "*a*b*"],
        ["", "x.json", "d/x.json", "a", "a/", "a/b", "a/c/b", "a/c/d/b", "ab", "ba", "xaybz", ".json", "x.jsonl", "a\nb"],
    ),
    (
        ["?", "??", "a?c", "?.json", "é", "?é", "[é]", "[à-ü]", "*é*", "\u540d*", "?\U0001F600", "[\U0001F5FF-\U0001F601]x"],
        ["a", "é", "éé", "ab", "a/c", "abc", "aéc", "\u540d\u524d", "x\U0001F600", "\U0001F600x", "/", "\n"],
    ),
    (
        ["[abc]", "[!abc]", "[^a]", "[a^]", "[!^a]", "[]a]", "[!]a]", "[]", "[!]", "[[]", "[[a]", "[a[b]", "[a]]", "[!", "[", "a[", "a[b", "[a-", "[!a", "x[]y"],
        ["a", "b", "c", "d", "^", "]", "[", "!", "-", "a]", "[]", "[!]", "[!", "a[", "a[b", "[a-", "[!a", "x[]y", ""],
    ),
    (
        ["[a-c]", "[!a-c]", "[c-a]", "[!c-a]", "[z-a]x", "[z-ab]", "[!z-ab]", "[a-]", "[-a]", "[!-a]", "[a-c-e]", "[a-c-e-g]", "[--/]", "[---]", "[b-ac-d]", "[a-cx-z]", "[a-b-z-y]", "[]-a]", "[+--]", "[!--0]", "[z-a-c]", "[0-9][0-9]"],
        ["a", "b", "c", "d", "e", "f", "g", "x", "y", "z", "-", "/", ".", "]", "_", "^", "+", ",", "0", "42", "zx", "ax"],
    ),
    (
        ["\\", "a\\b", "\\*", "\\?", "[\\]", "[a\\]", "[\\-a]", "[&&]", "[a&&b]", "[~~]", "[||]", "[a|b]", "{a,b}", "$", "^a", "a|b", "(a)", "a.c", "+", "a{2}", "#", " ", "\\d"],
        ["\\", "a\\b", "\\x", "*", "a", "b", "&", "~", "|", "{a,b}", "$", "^a", "a|b", "(a)", "a.c", "abc", "+", "aa", "#", " ", "d", "]", "-", "\\d"],
    ),
    (
        ["JTP_PILOT2/*", "JTP_PILOT/*", "JTP_PILOT*/*", "*.SAFETENSORS", "model-?????-of-?????.safetensors", "*.safetensors.index.json", "model[-.]*", "tokenizer*", "vocab.*", ".*"],
        ["JTP_PILOT2/tags.json", "JTP_PILOT/tags.json", "JTP_PILOT2/a/b", "JTP_PILOT2", "model.safetensors", "model-00001-of-00006.safetensors", "model.safetensors.index.json", "tokenizer.json", "sub/tokenizer.json", "vocab.txt", ".gitattributes"],
    ),
]

pairs = [
    [pattern, name, fnmatch.fnmatchcase(name, pattern)]
    for patterns, names in GROUPS
    for pattern in patterns
    for name in names
]
# Sets are where ports go wrong: the same seed makes the same sets each time.
chance = random.Random(1)
for _ in range(800):
    inside = "".join(chance.choice("abcd--!]^[\\&é") for _ in range(chance.randint(1, 7)))
    name = chance.choice("abcd-!]^[\\&éxz")
    pattern = "[" + inside + "]"
    pairs.append([pattern, name, fnmatch.fnmatchcase(name, pattern)])
print("[\n" + ",\n".join(json.dumps(pair) for pair in pairs) + "\n]")
