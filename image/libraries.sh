#!/bin/sh
# libraries.sh WORK: the tools of the build in WORK/tools, and every library of requirements.lock as a wheel in
# WORK/wheels. Each file is held to its hash; what comes as source is built by the tools of requirements-build.lock.
set -eu
cd "$(dirname "$0")/.."
work=$1
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
mkdir -p "$work"
python3 -m venv "$work/tools"
pip="$work/tools/bin/python -m pip --quiet"
$pip install --require-hashes --no-deps --only-binary :all: -r requirements-build.lock
$pip wheel --require-hashes --no-deps --no-build-isolation --wheel-dir "$work/wheels" -r requirements.lock
