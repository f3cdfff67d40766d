#!/usr/bin/env bash
# The main job on the embedded default, through the daemon's gRPC services only: register two versions, validate, promote,
# score the day's accounts, promote the second version, score, roll back, and run the first batch again.
#
# Everything is kept in var/demo, which is made anew each time. Set SCORER_ADDR and SCORER_ADMIN_ADDR to use other ports.
set -euo pipefail
cd "$(dirname "$0")/../.."

data=var/demo
day=2026-11-02
export SCORER_ADDR=${SCORER_ADDR:-127.0.0.1:7070} SCORER_ADMIN_ADDR=${SCORER_ADMIN_ADDR:-127.0.0.1:7071}
export SCORER_ACTOR=${SCORER_ACTOR:-operator}

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() {
	printf '\033[2m$ ctl %s\033[0m\n' "$*"
	bin/ctl "$@"
}
meta() { sed -n "s/.*\"$2\": \"\(.*\)\".*/\1/p" "examples/churn/$1/version.json"; }
register() {
	run model register churn "examples/churn/$1/model.txt" --golden "examples/churn/$1/golden.parquet" \
		--holdout "examples/churn/$1/holdout.parquet" \
		--run-id "$(meta "$1" run_id)" --git-sha "$(meta "$1" git_sha)" --trained-at "$(meta "$1" trained_at)"
}
batch_id() { bin/ctl batch list churn -o json | sed -n 's/.*"score_batch_id": *"\([^"]*\)".*/\1/p' | head -1; }

# One run at a time: the daemon of another one still works in the directory that is made anew here.
mkdir -p var
exec 9>"$data.lock"
flock -n 9 || {
	echo "another run of $0 uses $data; wait until it ends" >&2
	exit 1
}
rm -rf "$data"
mkdir -p "$data"
bin/scorer --config examples/scorer.yml --data-dir "$data" --listen "$SCORER_ADDR" --admin-listen "$SCORER_ADMIN_ADDR" \
	>"$data/ready" 2>"$data/scorer.log" 9>&- &
daemon=$!
stop() {
	kill "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
}
trap stop EXIT
# The child's own line, and not any daemon that answers on the port, says that it is ready.
until grep -q 'scorer is ready' "$data/ready"; do
	kill -0 "$daemon" 2>/dev/null || {
		echo "the daemon did not start:" >&2
		tail -5 "$data/scorer.log" >&2
		echo "if the address is in use, set SCORER_ADDR and SCORER_ADMIN_ADDR to free ones" >&2
		exit 1
	}
	sleep 0.1
done

say "Register version 1, pass the gates, make it Champion"
register v1
run validate churn
run promote churn --reason "first release"

say "Score the accounts of $day with the Champion"
run score churn --date "$day" --rows 5
first=$(batch_id)

say "A second version takes over"
register v2
run validate churn
run promote churn --reason "better holdout AUC"
run score churn --date "$day" --rows 3

say "Roll back, and run the first batch again: the same id, the same rows, no duplicates"
run rollback churn --reason "complaints about the new scores"
run score churn --date "$day" --rows 5
run batch list churn
run batch show "$first"

say "Who promoted what, and the proof that nobody edited the record"
run model versions churn
run audit list churn
run audit verify
