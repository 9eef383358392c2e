"""Mutants that no test can notice, and why: what `Mutant.name` says -> the reason.

Each of them behaves as what it was made of, for every request and scenario there can be, or differs in what is nobody's
promise (how much is kept for later, which of two right ways is gone).
"""

EQUAL: dict[str, str] = {}
