"""Recomputes batch ids as docs/format/batch-id.md defines them, and writes the vectors that the Go tests check.

    python scoring/testdata/batch_id.py > scoring/testdata/batch_id.json
"""
import hashlib
import json
import uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/treeline-ml/treeline/score-batch")


def netstrings(*parts):
    return b"".join(b"%d:%s," % (len(p.encode()), p.encode()) for p in parts)


def config_digest(model_key, threshold_hex, output, row_errors, date_col, keys, inference_class=()):
    parts = ["treeline.scoring-config/1", model_key, threshold_hex, output, row_errors, date_col, str(len(keys)), *keys]
    if inference_class:
        parts += ["inference_class", *inference_class]
    return "sha256:" + hashlib.sha256(netstrings(*parts)).hexdigest()


def batch_id(*parts):
    name = netstrings("treeline.score-batch/1", *parts)
    # uuid5 of bytes, which Python 3.10 does not take itself.
    raw = bytearray(hashlib.sha1(NAMESPACE.bytes + name).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


if __name__ == "__main__":
    config = config_digest("churn", "0x1p-01", "uat.predictions.churn_scores", "fail", "compute_date", ["account_id"])
    digest = "sha256:" + "ab" * 32
    table = "uat.features.churn_features"
    print(json.dumps({
        "config": config,
        "config_null_keys": config_digest("churn", "0x1.999999999999ap-03", "a.b.c", "null", "", ["id", "tägliche_id"]),
        "config_class": config_digest("churn", "0x1p-01", "uat.predictions.churn_scores", "fail", "compute_date", ["account_id"],
                                      ("hooks.Calibrate", "sha256:" + "cd" * 32)),
        "id": batch_id("churn", digest, config, table, "v1", "2026-11-02"),
        "id_no_date": batch_id("churn", digest, config, table, "v1", ""),
        "id_unicode": batch_id("churn", digest, config, "upload:Kündigungen, 5:x.csv", "v1", ""),
    }, indent=1))
