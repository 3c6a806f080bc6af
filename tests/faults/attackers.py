from __future__ import annotations
CATEGORY, FULL = "attackers", 1
def run(count, seed, folder, base, *, only=(), say=print):
    raise NotImplementedError
