"""check.py DIR: reads what run.sh left in var/lifecycle from outside, and fails unless the story happened as it should.

Nothing of the daemon is used: sqlite3 and DuckDB read its files, MLflow's client reads the server's store, scikit-learn
computes figures and scores again, and hashes are computed as docs/format says.
"""

import hashlib
import importlib.util
import json
import pathlib
import re
import sqlite3
import sys
from urllib.parse import quote

import duckdb
import numpy as np
import pandas as pd
import skops.io
from mlflow import MlflowClient
from promotions import promotions
from sklearn.metrics import roc_auc_score

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STEPS = ["features", "train", "validate", "promote", "score"]
# What each model's versions went through, in order, as (action, from, to).
BORN = [("create", "", "created"), ("register", "created", "trained")]
PASSED = [*BORN, ("validate", "trained", "validated"), ("promote", "validated", "champion")]
LIVES = {
    ("churn", 1): [*PASSED, ("archive", "champion", "archived")],
    ("churn", 2): [*PASSED, ("archive", "champion", "archived")],
    ("churn", 3): [*PASSED, ("archive", "champion", "archived"), ("rollback", "archived", "champion")],
    ("churn", 4): [
        *BORN,
        ("reject", "trained", "rejected"),
        ("waive", "rejected", "validated"),
        ("promote", "validated", "champion"),
        ("quarantine", "champion", "quarantined"),
    ],
    ("fraud", 1): PASSED,
    ("winback", 1): [("create", "", "created"), ("fail", "created", "failed")],
}
CHAMPIONS = {"churn": [1, 2, 3, 4, 3], "fraud": [1]}
# The runs that train, oldest first: trigger, and the states of the nodes by model.
OK = ["succeeded"] * 5
RUNS = [
    ("schedule", {"churn": OK}),
    ("drift", {"churn": OK}),
    ("manual", {"churn": OK, "fraud": OK, "winback": ["succeeded", "failed", "skipped", "skipped", "skipped"]}),
    ("manual", {"churn": ["succeeded", "succeeded", "failed", "skipped", "succeeded"]}),
]


def equal(got, want, what):
    """Fails when two values differ."""
    if got != want:
        raise SystemExit(f"check.py: {what}:\n  is     {got}\n  wanted {want}")


def true(condition, what):
    """Fails when a condition does not hold."""
    if not condition:
        raise SystemExit(f"check.py: {what}")


def load(path):
    """A Python file elsewhere in the repository, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Story:
    """What run.sh left behind."""

    def __init__(self, where):
        self.where = where
        self.state = where / "state"
        self.db = sqlite3.connect(f"file:{quote(str(self.state / 'state.db'))}?mode=ro", uri=True)
        self.db.row_factory = sqlite3.Row
        self.con = duckdb.connect()
        path = str(self.state / "warehouse" / "uat.duckdb").replace("'", "''")
        self.con.execute(f"ATTACH '{path}' AS uat (READ_ONLY)")
        self.mlflow = MlflowClient(tracking_uri=f"sqlite:///{where / 'mlflow.db'}")

    def rows(self, query, *values):
        """Rows of the daemon's state, as dictionaries."""
        return [dict(r) for r in self.db.execute(query, values)]

    def one(self, query, *values):
        """The only row of a query."""
        rows = self.rows(query, *values)
        equal(len(rows), 1, f"rows of {query} with {values}")
        return rows[0]

    def version(self, model, number):
        """A row of table version."""
        return self.one("SELECT * FROM version WHERE model = ? AND version = ?", model, number)

    def artifact(self, version):
        """The folder of a version's files, whose digests are checked."""
        algorithm, digest = version["digest"].split(":")
        folder = self.state / "artifacts" / "artifacts" / algorithm / digest
        manifest = json.loads((folder / "manifest.json").read_text())
        for f in manifest["files"]:
            content = (folder / "files" / f["name"]).read_bytes()
            equal("sha256:" + hashlib.sha256(content).hexdigest(), f["digest"], f"digest of {f['name']} of {version['digest']}")
        return folder / "files"

    def evidence(self, model, number):
        """The reports of a version, oldest first, with their digests checked."""
        out = []
        for e in self.rows("SELECT * FROM evidence WHERE model = ? AND version = ? ORDER BY id", model, number):
            equal("sha256:" + hashlib.sha256(e["report"]).hexdigest(), e["digest"], f"digest of the report {e['id']}")
            out.append(json.loads(e["report"]))
        return out


def check_triggers(s):
    """The schedule fired, then the drift trigger; a person began the others."""
    fired = [d["kind"] for d in s.rows("SELECT kind FROM decision WHERE model = 'churn' AND outcome = 'fired' ORDER BY id")]
    equal(fired, ["schedule", "drift"], "decisions that fired")
    drift = s.one("SELECT evidence FROM decision WHERE kind = 'drift' AND outcome = 'fired'")
    batch = json.loads(drift["evidence"])["batch"]
    # Whoever asks for a report ("ctl drift") has the batch looked at again.
    reports = s.rows("SELECT verdict, share FROM drift WHERE batch_id = ? AND version = 1 AND reference LIKE 'training%'", batch)
    true(reports, f"no drift report of batch {batch}, on which the trigger fired")
    for report in reports:
        true(report["verdict"] == "drift" and report["share"] >= 0.3, f"the drift trigger fired on {report}")
    last = s.one("SELECT last_outcome FROM schedule WHERE model = 'churn' AND job = 'batch_inference'")["last_outcome"]
    scored = s.one("SELECT * FROM workflow WHERE id = ?", last.removeprefix("run "))
    equal((scored["state"], json.loads(scored["input"])["trigger"]), ("succeeded", "schedule"), "batch inference by schedule")


def check_runs(s):
    """Every run and node ended as it should; churn and fraud trained at the same time."""
    equal(s.rows("SELECT id, kind FROM workflow WHERE state = 'running'"), [], "workflows that still run")
    runs = []
    for run in s.rows("SELECT * FROM workflow WHERE kind = 'run' ORDER BY created_at"):
        given = json.loads(run["input"])
        if any("train" in c["steps"] for c in given["chains"]):
            runs.append((run["id"], given))
    equal([g["trigger"] for _, g in runs], [trigger for trigger, _ in RUNS], "triggers of the runs")
    for (run_id, given), (_, want) in zip(runs, RUNS, strict=True):
        nodes = {}
        for chain in s.rows("SELECT id, input FROM workflow WHERE kind = 'chain'"):
            about = json.loads(chain["input"])
            if about["run_id"] == run_id:
                steps = {r["name"]: json.loads(r["output"]) for r in s.rows("SELECT * FROM workflow_step WHERE workflow_id = ?", chain["id"])}
                nodes[about["model"]] = [steps[name]["state"] for name in STEPS]
        equal(nodes, want, f"nodes of run {run_id} ({given['trigger']}, {given.get('reason', '')})")

    trainings = s.rows("SELECT * FROM training ORDER BY created_at")
    # churn and fraud begin at the same moment, in either order.
    got = sorted((t["model"], t["version"], t["state"], t["attempt"], t["exit_code"]) for t in trainings)
    want = [(m, v, "failed" if m == "winback" else "succeeded", 1, 10 if m == "winback" else 0) for m, v in sorted(LIVES)]
    equal(got, want, "trainings")
    for t in trainings:
        attempts = sorted(p.name for p in (s.state / "trainings" / t["id"]).iterdir() if p.is_dir())
        equal(attempts, ["1"], f"attempts of training {t['id']} on disk")
        rows = {"churn": {1: 16_000, 2: 20_000, 3: 20_000, 4: 24_000}, "fraud": {1: 20_000}, "winback": {1: 20_000}}
        equal(t["input_rows"], rows[t["model"]][t["version"]], f"rows that {t['model']} version {t['version']} was trained on")
    side = {t["model"]: t for t in trainings if t["idempotency_key"].startswith(runs[2][0])}
    true(
        max(side["churn"]["started_at"], side["fraud"]["started_at"]) < min(side["churn"]["finished_at"], side["fraud"]["finished_at"]),
        "churn and fraud did not train side by side",
    )


def check_stages(s):
    """Versions and their stages, one Champion a model, and its history without a gap."""
    got = {(v["model"], v["version"]): v["stage"] for v in s.rows("SELECT * FROM version")}
    equal(got, {k: life[-1][2] for k, life in LIVES.items()}, "stages of the versions")
    for model in s.rows("SELECT * FROM model"):
        name = model["name"]
        periods = s.rows("SELECT * FROM champion_period WHERE model = ? ORDER BY generation", name)
        want = CHAMPIONS.get(name, [])
        equal([p["version"] for p in periods], want, f"Champions of {name}")
        equal([p["generation"] for p in periods], list(range(1, len(want) + 1)), f"generations of {name}")
        equal(model["generation"], len(want), f"generation of {name}")
        for before, after in zip(periods, periods[1:]):
            equal(before["until"], after["since"], f"end of generation {before['generation']} of {name}")
        equal([p["version"] for p in periods if not p["until"]], want[-1:], f"open periods of {name}")
        champions = [v["version"] for v in s.rows("SELECT version FROM version WHERE model = ? AND stage = 'champion'", name)]
        equal(champions, want[-1:], f"versions of {name} in stage champion")
        for p in periods:
            entry = s.one("SELECT * FROM audit WHERE seq = ?", p["audit_seq"])
            for key in ("model", "version", "generation", "action", "actor", "reason"):
                equal(entry[key], p[key], f"{key} of the audit entry of generation {p['generation']} of {name}")
            equal(entry["at"], p["since"], f"time of the audit entry of generation {p['generation']} of {name}")


AUDIT = (
    "seq ts actor auth_method action model version from_stage to_stage generation reason evidence_digest request_id"
).split()


def check_audit(s):
    """The hash chain as docs/format/audit.md defines it, and exactly the entries that the stages need."""
    prev, last = "0" * 64, 0
    lives = {}
    for row in s.db.execute(f"SELECT {', '.join(AUDIT).replace(' ts,', ' at,')}, prev_hash, hash FROM audit ORDER BY seq"):
        *values, prev_hash, stored = row
        text = json.dumps(dict(zip(AUDIT, values, strict=True)), ensure_ascii=False, separators=(",", ":"))
        computed = hashlib.sha256(b"treeline-audit-v1\n" + text.encode() + prev.encode()).hexdigest()
        equal(values[0], last + 1, "number of the next audit entry")
        equal((prev_hash, stored), (prev, computed), f"hashes of audit entry {values[0]}")
        prev, last = stored, values[0]
        e = dict(zip(AUDIT, values, strict=True))
        life = lives.setdefault((e["model"], e["version"]), [])
        life.append((e["action"], e["from_stage"], e["to_stage"]))
        if e["evidence_digest"]:
            s.one("SELECT id FROM evidence WHERE digest = ? AND model = ? AND version = ?", e["evidence_digest"], e["model"], e["version"])
        else:
            true(e["action"] not in ("validate", "reject", "waive"), f"audit entry {last} names no evidence")
    equal(tuple(s.db.execute("SELECT seq, hash FROM audit_head").fetchone()), (last, prev), "head of the audit log")
    equal(lives, LIVES, "what the audit log says of each version")
    for action, reason in {
        "waive": "the small model is wanted for a demonstration",
        "rollback": "complaints about the scores",
        "quarantine": "complaints about the scores",
    }.items():
        e = s.one("SELECT actor, reason FROM audit WHERE action = ?", action)
        equal((e["actor"], e["reason"]), ("operator", reason), f"who did {action}, and why")
    return last


def check_outbox(s):
    """Every row was delivered, and every change is among them once."""
    lost = s.rows("SELECT id, kind, last_error FROM outbox WHERE delivered_at = '' OR dead_at <> ''")
    equal(lost, [], "outbox rows that were not delivered")
    changes = [e["seq"] for e in s.rows("SELECT seq FROM audit WHERE from_stage <> to_stage ORDER BY seq")]
    equal([r["key"] for r in s.rows("SELECT key FROM outbox WHERE kind = 'registry' ORDER BY key")], changes, "changes sent to MLflow")
    tops = [e["seq"] for e in s.rows("SELECT seq FROM audit WHERE 'champion' IN (from_stage, to_stage) ORDER BY seq")]
    equal([r["key"] for r in s.rows("SELECT key FROM outbox WHERE kind = 'promotion' ORDER BY key")], tops, "promotions sent to the warehouse")
    alerts = sorted(json.loads(r["payload"])["key"] for r in s.rows("SELECT payload FROM outbox WHERE kind = 'alert'"))
    equal(alerts, ["candidate/churn/4", "winback/train"], "alerts")


def check_mlflow(s):
    """MLflow's registry and runs say the same as our store."""
    for model in ("churn", "fraud"):
        ours = {v["registry_version"]: v for v in s.rows("SELECT * FROM version WHERE model = ?", model)}
        theirs = {v.version: v for v in s.mlflow.search_model_versions(f"name='{model}'")}
        equal(sorted(map(str, theirs)), sorted(ours), f"versions of {model} in MLflow")
        champion = next(v for v in ours.values() if v["stage"] == "champion")
        aliases = s.mlflow.get_registered_model(model).aliases
        equal({k: str(v) for k, v in aliases.items()}, {"Champion": champion["registry_version"]}, f"aliases of {model} in MLflow")
        found = s.mlflow.get_model_version_by_alias(model, "Champion")
        equal((str(found.version), found.run_id), (champion["registry_version"], champion["run_id"]), f"alias Champion of {model}")
        for number, v in ours.items():
            t = s.mlflow.get_model_version(model, number)
            equal(t.tags.get("treeline.stage"), v["stage"].capitalize(), f"tag treeline.stage of {model} version {number} in MLflow")
            equal((t.status, t.run_id), ("READY", v["run_id"]), f"{model} version {number} in MLflow")
            run = s.mlflow.get_run(v["run_id"])
            equal(run.info.status, "FINISHED", f"MLflow run of {model} version {number}")
            true(re.fullmatch(rf"{model}-\d{{8}}-\d{{6}}", run.info.run_name), f"name of the run: {run.info.run_name}")
            equal(run.data.tags.get("environment"), "uat", f"tag environment of run {run.info.run_name}")
            equal(run.data.metrics.get("auc"), json.loads(v["metrics"])["auc"], f"AUC of run {run.info.run_name}")
            trees = {("churn", 4): 3, ("fraud", 1): 120}.get((model, v["version"]), 100)
            equal((run.data.params.get("n_estimators"), v["trees"]), (str(trees), trees), f"trees of {model} version {number}")
    true(not s.mlflow.search_model_versions("name='winback'"), "winback has a version in MLflow")


def check_predictions(s):
    """Each batch has one row a key and is of one version, as the ledger says, and is what its output digest says."""
    digest = load(ROOT / "scoring" / "testdata" / "output_digest.py").digest
    for model, key in {"churn": "account_id", "fraud": "transaction_id"}.items():
        table = f"uat.predictions.{model}_scores"
        batches = {b["id"]: b for b in s.rows("SELECT * FROM batch WHERE model = ?", model)}
        # Two days of churn were scored by more than one version; the daily batch of the schedule ran again what version 1 had scored.
        want = {"churn": [1, 1, 2, 3, 3], "fraud": [1]}[model]
        equal(sorted(b["version"] for b in batches.values()), want, f"versions of the batches of {model}")
        found = s.con.execute(
            f"""SELECT score_batch_id, count(*), count(DISTINCT {key}), min(model_version), max(model_version), min(run_id), max(run_id),
                       min(model_digest), max(model_digest), min(model_name), max(model_name) FROM {table} GROUP BY 1"""
        ).fetchall()
        equal(sorted(f[0] for f in found), sorted(batches), f"batches in {table}")
        for batch_id, rows, keys, *ends in found:
            b = batches[batch_id]
            equal(b["state"], "succeeded", f"state of batch {batch_id}")
            equal((rows, keys), (4_000, 4_000), f"rows and keys of batch {batch_id}")
            pairs = [b["version"], b["run_id"], b["model_digest"], model]
            equal(ends, [x for p in pairs for x in (p, p)], f"version, run, digest and name in the rows of batch {batch_id}")
            equal(b["rows"], rows, f"rows of batch {batch_id} in the ledger")
            written = s.con.execute(
                'SELECT "rows", superseded_by FROM uat.treeline.batch_ledger WHERE target = ? AND batch_id = ?',
                [f"predictions.{model}_scores", batch_id],
            ).fetchall()
            equal(written, [(rows, None)], f"batch {batch_id} in the warehouse's own ledger")
            scores = s.con.execute(f"SELECT {key}, {model}_probability FROM {table} WHERE score_batch_id = ?", [batch_id]).fetchall()
            equal(digest([((k,), (p,)) for k, p in scores]), b["output_digest"], f"output digest of batch {batch_id}")


def check_auc(s):
    """The gate's AUC is what scikit-learn makes of the holdout rows, and what the trainer said."""
    for model, number in LIVES:
        if model == "winback":
            continue
        files = s.artifact(s.version(model, number))
        label = json.loads((files / "spec.json").read_text())["label_col"]
        holdout = pd.read_parquet(files / "holdout.parquet")
        want = roc_auc_score(holdout[label], holdout["pred"])
        for report in s.evidence(model, number):
            gates = {g["gate"]: g for g in report["gates"]}
            got = float(gates["auc_floor"]["evidence"]["auc"])
            true(abs(got - want) < 1e-9, f"AUC of {model} version {number}: the gate says {got}, scikit-learn {want}")
            equal(int(gates["auc_floor"]["evidence"]["rows"]), len(holdout), f"holdout rows of {model} version {number}")
            equal(gates["parity"]["outcome"], "pass", f"gate parity of {model} version {number}")


def check_blocked(s):
    """The report of the small model says in words why it is blocked."""
    blocked = s.evidence("churn", 4)[0]
    failed = [g["gate"] for g in blocked["gates"] if g["required"] and g["outcome"] != "pass"]
    equal((blocked["outcome"], failed), ("fail", ["auc_floor", "champion_challenger", "validator"]), "gates that block version 4")
    gates = {g["gate"]: g["evidence"] for g in blocked["gates"]}
    ours, theirs = float(gates["champion_challenger"]["challenger"]), float(gates["champion_challenger"]["champion"])
    for words in (
        f"AUC {ours:.4f} (95 % ",
        "is below the threshold 0.7500",
        f"Version 4 is worse than champion version 3: AUC {ours:.4f} against {theirs:.4f}",
        "ThresholdValidator rejects version 4",
        "What to do: ",
    ):
        true(words in blocked["explanation"], f"the report of version 4 does not say {words!r}: {blocked['explanation']}")
    alerts = [json.loads(r["payload"]) for r in s.rows("SELECT payload FROM outbox WHERE kind = 'alert'")]
    (alert,) = (a for a in alerts if a["key"] == "candidate/churn/4")
    true(blocked["explanation"].rstrip(".") in alert["text"], "the alert does not say why version 4 is blocked")
    for number in (1, 2, 3):
        (report,) = s.evidence("churn", number)
        equal(report["outcome"], "pass", f"report of version {number}")


def check_scores(s):
    """The Champion's own library gives the last batch's probabilities bit for bit."""
    version = s.version("churn", 3)
    # Our own training wrote the file, and its digest is right.
    model = skops.io.load(s.artifact(version) / "model" / "model.skops", trusted=["sklearn.tree._tree.Tree"])
    batch = s.rows("SELECT * FROM batch WHERE model = 'churn' ORDER BY started_at")[-1]
    equal((batch["version"], batch["input_source"]), (3, "uat.features.churn_numeric"), "the last batch")
    rows = s.con.execute(
        """SELECT f.*, p.churn_probability, p.churn_predicted FROM uat.features.churn_numeric f
           JOIN uat.predictions.churn_scores p USING (account_id) WHERE f.compute_date = ? AND p.score_batch_id = ? ORDER BY account_id""",
        [batch["input_date"], batch["id"]],
    ).df()
    equal(len(rows), batch["rows"], "rows of the last batch that have features")
    features = rows[list(model.feature_names_in_)].astype("float64")
    want = model.predict_proba(features)[:, list(model.classes_).index(1)]
    same = rows["churn_probability"].to_numpy().view(np.uint64) == want.view(np.uint64)
    true(same.all(), f"{(~same).sum()} of {len(same)} probabilities differ from scikit-learn's")
    equal(list(rows["churn_predicted"]), list((want >= 0.5).astype(int)), "predicted classes of the last batch")
    return len(same)


def check_query(s):
    """The user's audit query tells the same promotions as the audit log."""
    for model in ("churn", "fraud"):
        got = [(v, f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", by, a, b) for _, v, at, by, a, b in promotions(s.state, model)]
        want = [
            (e["version"], e["at"], e["actor"], e["from_stage"].capitalize(), e["to_stage"].capitalize())
            for e in s.rows("SELECT * FROM audit WHERE model = ? AND 'champion' IN (from_stage, to_stage)", model)
        ]
        equal(sorted(got), sorted(want), f"mlflow.model.promotions of {model}")
        entered = [v for v, _, _, _, to in sorted(got, key=lambda r: r[1]) if to == "Champion"]
        equal(entered, CHAMPIONS[model], f"Champions of {model} in mlflow.model.promotions")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check.py DIR, where run.sh kept everything: var/lifecycle")
    s = Story(pathlib.Path(sys.argv[1]).resolve())
    check_triggers(s)
    print("decisions: the schedule fired, then drift")
    check_runs(s)
    print(f"runs: {len(RUNS)} that train, every node as it should be; two models trained side by side, a third one failed")
    check_stages(s)
    print("stages: one Champion a model, its history without a gap")
    print(f"audit: {check_audit(s)} entries, the chain computed again")
    check_outbox(s)
    print("outbox: everything delivered, every change once")
    check_mlflow(s)
    print("MLflow: aliases, stage tags, versions and runs agree")
    check_predictions(s)
    print("predictions: one row a key in every batch, digests computed again")
    check_auc(s)
    print("gates: every AUC is scikit-learn's")
    check_blocked(s)
    print("gates: the blocked version's report says why")
    print(f"scores: {check_scores(s)} probabilities of the last batch are scikit-learn's, bit for bit")
    check_query(s)
    print("mlflow.model.promotions tells the same")


if __name__ == "__main__":
    main()
