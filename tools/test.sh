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
  rm -rf build/reports && mkdir -p build/reports
  start_postgres
  trap stop_postgres EXIT

  unit_tests release "$pattern"
  python_tests release "$pattern"
  unit_tests asan "$pattern"
  if [ -n "$sanitize" ]; then
    python_tests asan "$pattern"
    build tsan
    unit_tests tsan "$pattern"
  fi
  [ -n "$pattern" ] || crash_test "${full:+150}"
  [ -z "$full" ] || simulate
  .venv/bin/python tools/count_tests.py build/reports
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

python_tests() {  # python_tests PRESET PATTERN [ARGS]
  local preset=$1 pattern=$2; shift 2
  say "API, architecture and end-to-end tests ($preset)"
  local log=build/reports/python-$preset.log
  LATHE_BINARY=$root/build/$preset/lathe LATHE_BUILD=$root/build/$preset .venv/bin/python -m pytest tests -q --color=no \
    --junitxml="build/reports/python-$preset.xml" ${pattern:+-k "$pattern"} "$@" >"$log" 2>&1 || tail -n 200 "$log"
  tail -n 1 "$log"
}

crash_test() {  # crash_test [KILLS]
  say "kill -9 under load"
  .venv/bin/python tests/crash/crash.py --kills "${1:-30}" --junit build/reports/crash.xml || true
}

simulate() {
  say "the scheduler under seeded faults"
  local outcome=''
  build/release/bin/flow_sim --seeds 2000 || outcome='<failure message="see the output above"/>'
  echo "<testsuite name='sim'><testcase classname='sim' name='2000 seeds'>$outcome</testcase></testsuite>" >build/reports/sim.xml
}
