#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: scripts/lib/llama.sh
#
# llama.cpp for the tests of "kvlift run": its released sources as the source
# distribution of the Python package llama-cpp-python carries them, built as
# shared libraries, once, in the cache; and tests/engines/llama_kv.c with it. What
# guests need lands in build/engines/. With LONG=1 llama-bench, too.

set -euo pipefail
# shellcheck source=scripts/lib/common.sh
. "$(dirname "$0")/common.sh"

PACKAGE=llama-cpp-python VERSION=0.3.36
DIR=$CACHE/llama/$VERSION

fetch() {
	local t=$DIR/fetch
	rm -rf "$t"
	mkdir -p "$t"
	log "fetching the sources of $PACKAGE (once)"
	quietly "$CACHE/log/llama-fetch.log" python3 -m pip download -q --no-cache-dir --no-deps --no-binary "$PACKAGE" -d "$t" "$PACKAGE==$VERSION"
	tar -C "$t" -xzf "$t"/llama_cpp_python-*.tar.gz --wildcards '*/vendor/llama.cpp/*'
	rm -rf "$DIR/src"
	mv "$t"/llama_cpp_python-*/vendor/llama.cpp "$DIR/src"
	rm -rf "$t"
}

# Shared, for any x86-64 with AVX2, which the emulated CPU has.
build() {
	local b=$DIR/build launcher=() more=OFF target=llama
	[ "${LONG:-0}" = 0 ] || more=ON target=llama-bench
	command -v cmake >/dev/null || die "no cmake: apt install cmake"
	[ -z "$(command -v ccache)" ] || launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
	log "building llama.cpp (2 to 10 minutes, once)"
	rm -rf "$b"
	mkdir -p "$b"
	(cd "$b" && quietly "$CACHE/log/llama-cmake.log" cmake "$DIR/src" -DCMAKE_BUILD_TYPE=Release \
		-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DBUILD_SHARED_LIBS=ON -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=$more -DLLAMA_BUILD_SERVER=OFF \
		-DLLAMA_BUILD_COMMON=$more -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
		-DLLAMA_BUILD_COMMIT=x -DLLAMA_BUILD_NUMBER=1 "${launcher[@]}")
	quietly "$CACHE/log/llama-build.log" nice make -C "$b" -j"$(nproc)" $target
	touch "$DIR/complete"
	[ "${LONG:-0}" = 0 ] || touch "$DIR/complete1"
}

driver() {
	local out=$TOP/build/engines lib
	mkdir -p "$out"
	for lib in "$DIR"/build/bin/{lib*.so.?,lib*-impl.so,llama-bench}; do
		[ ! -e "$lib" ] || strip -o "$out/${lib##*/}" "$lib"
	done
	cc -O2 -Wall -Werror -I"$DIR/src/include" -I"$DIR/src/ggml/include" "$TOP/tests/engines/llama_kv.c" -o "$out/llama_kv" \
		-L"$DIR/build/bin" -lllama -lggml -lggml-base -Wl,-rpath,'$ORIGIN' -Wl,-rpath-link,"$DIR/build/bin"
}

llama() {
	[ -e "$DIR/src" ] || fetch
	[ -e "$DIR/complete" ] && [ "${LONG:-0}" = 0 ] || [ -e "$DIR/complete1" ] || build
	driver
}

mkdir -p "$DIR" "$CACHE/log"
with_lock llama llama
