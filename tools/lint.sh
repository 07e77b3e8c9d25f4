# Sourced by ./dev: formatting and clang-tidy over the sources that git tracks.
lint() {
  build debug
  git ls-files 'src/*.cc' 'src/*.h' 'bench/*.cc' | xargs -r clang-format-19 --dry-run -Werror
  git ls-files 'src/*.cc' | grep -v _test.cc | xargs -r -P "$(nproc)" -n 4 clang-tidy-19 -p build/debug --quiet
  (cd web && node_modules/.bin/biome lint --error-on-warnings)
}
