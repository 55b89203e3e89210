#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: scripts/lib/engines.sh
#
# The base classes and loaders of the engines that tests/python drives the adapters
# with, out of their packages, as build/engines/engines.zip. The packages are
# fetched once by name; of them only these modules are kept.

set -euo pipefail
# shellcheck source=scripts/lib/common.sh
. "$(dirname "$0")/common.sh"

SELF=$(readlink -f "$0")
DIR=$CACHE/engines
# Those that were tried; others may have moved what is picked.
PACKAGES="vllm==0.33.0 lmcache==0.5.6 sglang==0.5.23 aiofiles==25.1.0"

pick() {
	python3 - "$1" "$2" <<'PY'
import glob, re, sys, zipfile
keep = re.compile(r"""
    vllm/v1/kv_offload/(base|config|file_mapper)\.py
  | vllm/v1/kv_offload/tiering/(base|factory|backpressure|async_lookup)\.py
  | vllm/v1/kv_offload/tiering/fs/(manager|io|thread_pool)\.py
  | vllm/v1/metrics/cache_hit_source\.py
  | vllm/distributed/kv_transfer/kv_connector/v1/offloading/canonical_mapping\.py
  | lmcache/v1/distributed/(api|error|internal_api)\.py
  | lmcache/v1/distributed/l2_adapters/(base|config|factory|native_connector_l2_adapter|native_plugin_l2_adapter|fs_l2_adapter)\.py
  | lmcache/v1/storage_backend/dax/core\.py
  | sglang/srt/mem_cache/hicache_storage\.py
  | sglang/srt/mem_cache/storage/backend_factory\.py
  | sglang/srt/observability/metrics_collector\.py
  | aiofiles/.*\.py
""", re.X)
versions = []
with zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED) as out:
    for wheel in sorted(glob.glob(sys.argv[1] + "/*.whl")):
        versions.append(" ".join(wheel.rsplit("/", 1)[1].split("-")[:2]))
        with zipfile.ZipFile(wheel) as z:
            names = [n for n in z.namelist() if keep.fullmatch(n)]
            if not names:
                raise SystemExit(wheel + " has none of the modules: its layout has changed")
            for n in names:
                out.writestr(n, z.read(n))
    out.writestr("VERSIONS", "\n".join(versions) + "\n")
PY
}

engines() {
	# Of this list of modules.
	local zip
	zip=$DIR/engines-$(sha256sum <"$SELF" | cut -c1-12).zip
	if [ ! -e "$zip" ]; then
		log "fetching the packages of $PACKAGES (once)"
		rm -rf "$DIR/fetch"
		mkdir -p "$DIR/fetch"
		# shellcheck disable=SC2086
		quietly "$CACHE/log/engines.log" python3 -m pip download -q --no-cache-dir --no-deps --only-binary :all: -d "$DIR/fetch" $PACKAGES
		pick "$DIR/fetch" "$zip.new"
		mv "$zip.new" "$zip"
		rm -rf "$DIR/fetch"
	fi
	mkdir -p "$TOP/build/engines"
	cp "$zip" "$TOP/build/engines/engines.zip"
}

mkdir -p "$DIR" "$CACHE/log"
with_lock engines engines
