#!/usr/bin/env bash
# The lifecycle by itself, with real trainers and a real MLflow server: a schedule fires, a random forest is trained,
# validated, promoted and scores; the input drifts and the model is trained again; two models train side by side while a
# third one fails; a worse model is blocked, forced through with a reason, and rolled back.
#
# Everything is kept in var/lifecycle, which is made anew each time. Set SCORER_ADDR, SCORER_ADMIN_ADDR and MLFLOW_PORT to
# use other ports. It takes one to three minutes on two cores; check.py checks what it leaves behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD work=$PWD/var/lifecycle
python=$root/.venv/bin/python
export SCORER_ADDR=${SCORER_ADDR:-127.0.0.1:7070} SCORER_ADMIN_ADDR=${SCORER_ADMIN_ADDR:-127.0.0.1:7071}
export SCORER_ACTOR=${SCORER_ACTOR:-operator}
export MLFLOW_TRACKING_URI=http://127.0.0.1:${MLFLOW_PORT:-5000}
export SCORER_MLFLOW_TRACKING_URI=$MLFLOW_TRACKING_URI

step="the beginning"
say() {
	step=$*
	printf '\n\033[1m== %s\033[0m\n' "$*"
}
run() {
	printf '\033[2m$ ctl %s\033[0m\n' "$*"
	bin/ctl "$@"
}
fail() {
	echo "$*" >&2
	exit 1
}
# until_true SECONDS WHAT COMMAND...: waits for what the daemon does by itself.
until_true() {
	local begin=$SECONDS limit=$1 what=$2 told=0 waited
	shift 2
	until "$@"; do
		waited=$((SECONDS - begin))
		[ $waited -lt "$limit" ] || fail "$what did not happen within $limit seconds"
		if [ $((waited - told)) -ge 5 ]; then
			told=$waited
			echo "   ... waiting for $what, $waited s of at most $limit s" >&2
		fi
		sleep 0.5
	done
}

# One run at a time: another one still works in the directory that is made anew here.
mkdir -p var
exec 9>"$work.lock"
flock -n 9 || fail "another run of $0 uses $work; wait until it ends"
rm -rf "$work"
mkdir -p "$work/models"

mlflow= daemon=
stop_daemon() {
	[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
	[ -z "$daemon" ] || wait "$daemon" 2>/dev/null || true
	daemon=
}
# A trainer outlives the daemon, so that the next one can go on with it. Here there is no next one.
stop_trainers() {
	local round file pid left signal=TERM
	for round in {1..8}; do
		left=
		[ "$round" -lt 7 ] || signal=KILL
		for file in "$work"/state/trainings/*/*/control/pid; do
			[ -e "$file" ] && [ ! -e "${file%pid}exit" ] || continue
			pid=$(cat "$file")
			# The process itself says whose it is: the number may belong to another one by now.
			{ tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qF "TREELINE_WORK=$work/" || continue
			[ "$round" -gt 1 ] || echo "stopping the trainer $pid" >&2
			kill -$signal -- "-$pid" 2>/dev/null || true
			left=yes
		done
		[ -n "$left" ] || return 0
		sleep 1
	done
}
stop_mlflow() {
	local signal
	[ -n "$mlflow" ] || return 0
	# The server is a group of its own: its workers end with it.
	for signal in TERM 0 0 0 0 0 0 0 0 0 KILL; do
		kill -"$signal" -- "-$mlflow" 2>/dev/null || break
		sleep 0.5
	done
	wait "$mlflow" 2>/dev/null || true
	mlflow=
}
finish() {
	local status=$? log training=
	trap '' INT TERM HUP
	trap - EXIT
	stop_daemon
	stop_trainers
	stop_mlflow
	[ $status -ne 0 ] || exit 0
	for log in "$work"/state/trainings/*/*/log; do
		[ -n "$training" ] && [ "$training" -nt "$log" ] || training=$log
	done
	for log in "$work/mlflow.log" "$training" "$work/scorer.log"; do
		[ ! -s "$log" ] || printf '\n-- the end of %s\n%s\n' "$log" "$(tail -n 15 "$log")" >&2
	done
	printf '\n%s: failed (exit code %s) in "%s"\n' "$0" "$status" "$step" >&2
	exit $status
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
start_daemon() {
	bin/scorer --config "$work/scorer.yml" --data-dir "$work/state" --listen "$SCORER_ADDR" --admin-listen "$SCORER_ADMIN_ADDR" \
		>"$work/ready" 2>>"$work/scorer.log" 9>&- &
	daemon=$!
	until grep -q 'scorer is ready' "$work/ready"; do
		kill -0 "$daemon" 2>/dev/null ||
			fail "the daemon did not start; if the address is in use, set SCORER_ADDR and SCORER_ADMIN_ADDR to free ones"
		sleep 0.1
	done
}

# The story's day is today in a time zone where it is about noon, so that no midnight falls into it.
offset=$((12 - 10#$(date -u +%H)))
if [ $offset -ge 0 ]; then zone=Etc/GMT-$offset; else zone=Etc/GMT+$((-offset)); fi
day() { TZ=$zone date -d "$1 days" +%F; }
today=$(day 0) tomorrow=$(day 1) after=$(day 2)

say "Six days of accounts and card transactions; from $tomorrow on the input drifts"
"$python" examples/lifecycle/make_features.py "$work/data" --first-day "$(day -3)"
cp examples/lifecycle/scorer.yml "$work/"
cp examples/lifecycle/failing.py examples/lifecycle/failing.yml "$work/models/"
cp examples/fraud/config.yml "$work/models/fraud.yml"
# The model's schedules are those of the example, in the story's zone, until there is something to train on.
sed -e "s|America/New_York|$zone|" examples/churn/lifecycle.yml >"$work/models/churn.yml"
# The story does not wait for Monday: the model's schedules come every twenty seconds, and triggers need no rest.
hurry() {
	sed -e 's|"0 0 3 ? \* MON"|"0/20 * * * * ?"|' -e 's|"0 30 5 \* \* ?"|"10/20 * * * * ?"|' -e "s|America/New_York|$zone|" \
		-e 's|cooldown: .*|cooldown: 1s|' -e 's|max_per_week: .*|max_per_week: 100|' "$1"
}

say "A real MLflow server and the daemon"
MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false setsid "$python" -m mlflow server --backend-store-uri "sqlite:///$work/mlflow.db" \
	--artifacts-destination "file://$work/artifacts" --serve-artifacts --host 127.0.0.1 --port "${MLFLOW_PORT:-5000}" --workers 1 \
	>"$work/mlflow.log" 2>&1 9>&- &
mlflow=$!
mlflow_ready() {
	kill -0 "$mlflow" 2>/dev/null || fail "the MLflow server did not start; if its port is in use, set MLFLOW_PORT to a free one"
	"$python" -c "import sys, urllib.request; sys.exit(urllib.request.urlopen('$MLFLOW_TRACKING_URI/health', timeout=2).status != 200)" 2>/dev/null
}
until_true 90 "MLflow's start" mlflow_ready
start_daemon
run config check var/lifecycle/scorer.yml
run schedule pause churn batch_inference --reason "nothing to score with yet"

say "The days until $today are computed; the schedule trains with the full history"
for d in "$(day -3)" "$(day -2)" "$(day -1)" "$today"; do
	echo "features of $d"
	bin/ctl run churn --steps features --date "$d" >"$work/features.log" 2>&1 || {
		cat "$work/features.log" >&2
		fail "the features of $d were not computed"
	}
done
run schedule pause churn train --reason "its schedule changes"
hurry examples/churn/lifecycle.yml >"$work/models/churn.yml"
stop_daemon
start_daemon
run schedule resume churn train
fired() { bin/ctl trigger history churn -o json | tr -d ' \n' | grep -q "\"kind\":\"$1\"[^}]*\"outcome\":\"fired\""; }
run_of() { bin/ctl runs list churn -o json | "$python" -c "
import json, sys
runs = json.load(sys.stdin)
print(next((r['run_id'] for r in runs if r['trigger'] == '$1'), ''))"; }
until_true 60 "the training schedule's firing" fired schedule
bin/ctl schedule pause churn train --reason "once is enough for the story" >/dev/null
first=$("$python" - <<-P
	import json, subprocess
	runs = json.loads(subprocess.check_output(["bin/ctl", "runs", "list", "churn", "-o", "json"]))
	print(next(r["run_id"] for r in reversed(runs) if r["trigger"] == "schedule"))
P
)
run runs watch "$first"
run schedule list churn
run model versions churn

told() { bin/ctl outbox list --state pending -o json | "$python" -c "import json, sys; sys.exit(bool(json.load(sys.stdin)))"; }

say "Batch inference fires"
run schedule resume churn batch_inference
scheduled() { bin/ctl schedule list churn -o json | tr -d ' \n' | grep -q '"job":"batch_inference"[^}]*"last_outcome":"run'; }
until_true 60 "the batch schedule's firing" scheduled
bin/ctl schedule pause churn batch_inference --reason "once is enough for the story" >/dev/null
run batch list churn

say "The input of $tomorrow drifts: the batch is scored, the trigger fires, the model is trained again"
run run churn --steps features,score --date "$tomorrow"
until_true 60 "the drift trigger's firing" fired drift
run drift churn || [ $? -eq 3 ]
run runs watch "$(run_of drift)"
run trigger history churn

say "All models: churn and fraud train side by side, winback fails and stops nobody"
run run --all --date "$tomorrow" --reason "daily run" || [ $? -eq 1 ]

say "Somebody tries three trees of one split: the gates block it, and say why"
hurry "$work/data/churn_worse.yml" >"$work/models/churn.yml"
until_true 60 "the delivery of what changed" told
stop_daemon
start_daemon
run run churn --date "$after" --reason "a much smaller model" || [ $? -eq 3 ]
run validate churn --show || [ $? -eq 3 ]

say "It is forced through with a reason, and rolled back"
worse=$(bin/ctl model versions churn -o json | "$python" -c "import json, sys; print(json.load(sys.stdin)[0]['version'])")
run promote churn --version "$worse" --force --reason "the small model is wanted for a demonstration"
run rollback churn --reason "complaints about the scores"
run model versions churn

say "What MLflow says, by the user's own snippets"
champion() { bin/ctl model versions churn -o json | "$python" -c "
import json, sys
print(next(v['registry_version'] for v in json.load(sys.stdin) if v['stage'] == 'champion'))"; }
agrees() { [ "$("$python" examples/lifecycle/registry.py churn --champion 2>/dev/null)" = "$(champion)" ]; }
until_true 60 "MLflow's agreement with the daemon" agrees
"$python" examples/lifecycle/registry.py churn
run registry check
run outbox list

say "Who promoted what, and the proof that nobody edited the record"
run audit list churn
run audit verify

say "The same from the warehouse, by the user's own query"
stop_daemon
"$python" examples/lifecycle/promotions.py "$work/state" churn
