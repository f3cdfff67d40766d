#!/usr/bin/env bash
# Makes a pinned Python environment and links it into the checkout.
#
#   tools/python/env.sh            .venv          Python 3.12, requirements.lock          (tests, examples)
#   tools/python/env.sh legacy     .venv-legacy   Python 3.10, requirements-legacy.lock   (old golden files only)
#   tools/python/env.sh bench      .venv-bench    Python 3.12, requirements-bench.lock    (the peers of make bench)
#
# Environments live in the cache, named by the hash of their lock file, so every clone shares them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${TREELINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/treeline}
uv_version=0.13.9

case "${1:-test}" in
test) lock=$here/requirements.lock python=3.12 link=$root/.venv ;;
legacy) lock=$here/requirements-legacy.lock python=3.10 link=$root/.venv-legacy ;;
bench) lock=$here/requirements-bench.lock python=3.12 link=$root/.venv-bench ;;
*)
	echo "usage: $0 [test|legacy|bench]" >&2
	exit 2
	;;
esac

hash=$(sha256sum "$lock" | cut -c1-16)
env=$cache/python-$python-$hash
mkdir -p "$cache"

# One installer at a time; a half-made environment has no .complete and is made again.
exec 9>"$cache/python.lock"
flock 9

if [ ! -e "$env/.complete" ]; then
	uv=$cache/uv-$uv_version/bin/uv
	if [ ! -x "$uv" ]; then
		echo "installing uv $uv_version" >&2
		rm -rf "$cache/uv-$uv_version"
		boot=
		for candidate in python3.12 python3.13 python3.11 python3; do
			if "$candidate" -c 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
				boot=$candidate
				break
			fi
		done
		if [ -z "$boot" ]; then
			echo "Python 3.9 or newer with venv is needed to install uv (Debian: apt-get install python3-venv)" >&2
			exit 1
		fi
		"$boot" -m venv "$cache/uv-$uv_version"
		"$cache/uv-$uv_version/bin/pip" install -q "uv==$uv_version"
	fi
	# pyenv's shims hide interpreters that are not selected; select them all.
	if command -v pyenv >/dev/null; then
		PYENV_VERSION=$(pyenv versions --bare | tr '\n' ':')
		export PYENV_VERSION
	fi
	echo "installing Python $python packages of $(basename "$lock") (once per lock file)" >&2
	rm -rf "$env"
	"$uv" venv -q --no-python-downloads --python "$python" "$env" || {
		echo "Python $python was not found. Install it (Debian: apt-get install python$python; or pyenv install $python) and run again." >&2
		exit 1
	}
	"$uv" pip sync -q --require-hashes --python "$env/bin/python" "$lock"
	touch "$env/.complete"
fi
ln -sfn "$env" "$link"
