"""Writes vector.json: audit entries hashed by another implementation (this one), for chain_test.go.

Usage: python vector.py > vector.json
It follows docs/format/audit.md and nothing else; only the standard library is used.
"""

import hashlib
import json

DOMAIN = b"treeline-audit-v1\n"
FIELDS = ["seq", "ts", "actor", "auth_method", "action", "model", "version", "from_stage", "to_stage", "generation",
          "reason", "evidence_digest", "request_id"]


def entry(seq, **fields):
    e = {"seq": seq, "ts": "2026-03-01T12:00:00.000000Z", "actor": "ann", "auth_method": "none", "action": "register",
         "model": "churn", "version": 1, "from_stage": "", "to_stage": "trained", "generation": 0, "reason": "",
         "evidence_digest": "", "request_id": ""}
    e.update(fields)
    return {k: e[k] for k in FIELDS}


ENTRIES = [
    entry(1),
    entry(2, ts="2026-03-01T12:00:00.000001Z", action="validate", from_stage="trained", to_stage="validated",
          evidence_digest="sha256:" + "ab" * 32, request_id="0b6f"),
    entry(3, ts="2026-12-31T23:59:59.999999Z", actor="Zoë <zoe@example.com>", auth_method="token", action="promote",
          from_stage="validated", to_stage="champion", generation=1, version=9223372036854775807,
          reason='quote " backslash \\ slash / tab \t newline \n return \r bell \a escape \x1b delete \x7f & < > end'),
    entry(4, reason="line \u2028 paragraph \u2029 emoji \U0001f333 combining e\u0301 nbsp \u00a0 form \f back \b one \x01"),
    entry(5, ts="0001-01-01T00:00:00.000001Z", model="", version=-1, generation=-9223372036854775808),
]

prev = "0" * 64
out = []
for e in ENTRIES:
    canonical = json.dumps(e, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(DOMAIN + canonical.encode("utf-8") + prev.encode("ascii")).hexdigest()
    out.append({"entry": e, "canonical": canonical, "prev_hash": prev, "hash": digest})
    prev = digest
print(json.dumps(out, indent=2))
