#!/bin/sh
# install.sh WORK TARGET: Penstock's wheel beside those of libraries.sh, and all of them installed into TARGET. The same
# source gives the same bytes: tests/image holds that. TARGET must be the path at which it will run.
set -eu
cd "$(dirname "$0")/.."
work=$1 target=$2
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1767225600}"
tools=$work/tools/bin/python

rm -f "$work"/wheels/penstock-*.whl
"$tools" -m hatchling build --target wheel --directory "$work/wheels" >&2

# By name and from this folder alone, so that pip checks that the lock satisfies pyproject.toml.
python3 -m venv --without-pip "$target"
"$tools" -m pip --quiet --python "$target/bin/python" install --no-index --find-links "$work/wheels" --no-compile penstock

# What nothing loads: tests, the sources of what is compiled and its symbols, scripts of libraries.
site=$(echo "$target"/lib/python3.*/site-packages)
find "$site" -type d \( -name tests -o -path "$site/spyne/test" -o -path "$site/lxml/includes" \) -prune -exec rm -rf {} +
find "$site" -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.cpp' -o -name '*.hpp' \) -delete
find "$site" -type f -name '*.so*' -exec strip --strip-unneeded {} +
find "$target/bin" -mindepth 1 ! -name 'python*' ! -name penstock -delete
rm -rf "$target/include" "$target/share"

# Python trusts such a .pyc unseen, whatever time its source has.
"$target/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$site"

"$work/tools/bin/cyclonedx-py" environment --output-reproducible --spec-version 1.6 --output-format JSON \
  --pyproject pyproject.toml --mc-type application --output-file "$target/sbom.cdx.json" "$target/bin/python"
"$tools" image/system_packages.py "$target/sbom.cdx.json" system/status system/os-release
find "$target" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
