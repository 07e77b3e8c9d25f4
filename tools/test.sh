# Sourced by ./dev: the tests. One closing line counts them all.

run_tests() {
  local full='' sanitize='' pattern=''
  while [ $# -gt 0 ]; do
    case $1 in
      --full) full=1 ;;
      --sanitize) sanitize=1 ;;
      --) pattern=${2:-}; shift ;;
      *) echo "dev test: unknown option '$1'" >&2; exit 2 ;;
    esac
    shift
  done
  local failed=0 passed_units=0
  build release
  say "unit tests"
  unit_tests release "$pattern" || failed=1
  say "architecture, API and end-to-end tests"
  python_tests ${full:+--full} ${pattern:+-k "$pattern"} || failed=1
  say "unit tests under AddressSanitizer and UBSan"
  build asan
  unit_tests asan "$pattern" || failed=1
  if [ -n "$sanitize" ]; then
    say "unit tests under ThreadSanitizer"
    build tsan
    unit_tests tsan "$pattern" || failed=1
  fi
  printf '%s passed, %s failed\n' "$total_passed" "$total_failed"
  return $failed
}

total_passed=0 total_failed=0

unit_tests() {  # unit_tests PRESET PATTERN
  local log; log=build/$1/tests.log
  local rc=0
  ctest --test-dir "build/$1" -j "$(nproc)" --output-on-failure --no-tests=error ${2:+-R "$2"} >"$log" 2>&1 || rc=1
  tail -n 40 "$log" | sed -n '/tests passed/,$p'
  [ $rc = 0 ] || cat "$log"
  local line; line=$(grep -E '^[0-9]+% tests passed' "$log" || echo '0% tests passed, 1 tests failed out of 1')
  local bad all; bad=$(sed -E 's/.*, ([0-9]+) tests? failed out of ([0-9]+)/\1/' <<<"$line"); all=$(sed -E 's/.*out of ([0-9]+)/\1/' <<<"$line")
  total_failed=$((total_failed + bad)) total_passed=$((total_passed + all - bad))
  return $rc
}

python_tests() {
  local log=build/pytest.log rc=0
  .venv/bin/python -m pytest tests "$@" -q --color=no >"$log" 2>&1 || rc=1
  tail -n 3 "$log"
  [ $rc = 0 ] || cat "$log"
  local p f; p=$(grep -oE '[0-9]+ passed' "$log" | tail -1 | cut -d' ' -f1); f=$(grep -oE '[0-9]+ (failed|error)' "$log" | cut -d' ' -f1 | paste -sd+ | bc 2>/dev/null || true)
  total_passed=$((total_passed + ${p:-0})) total_failed=$((total_failed + ${f:-0}))
  return $rc
}
