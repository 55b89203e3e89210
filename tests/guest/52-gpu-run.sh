#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# tests/gpu/run, but for the GPU: it knows whether a kernel loads the module, and its chain on real pools has every byte right, finds a wrong one, and leaves nothing behind.
# guest: --devices nvme --memory 2G
# kernels: 6.12
# also: newest debug
# needs: gpu-run
# files: tests/gpu/run build/gpu-run/gpu/*-pool-fake build/gpu-run/gpu/libcuda.so.1
# time: 300
. "$(dirname "$0")/lib.sh"

need_nvme
need_cmd python3 setpriv
for f in run gpubench-pool-fake gpu_step-pool-fake libcuda.so.1; do
	[ -e "./$f" ] || skip "no $f: scripts/lib/gpu-run.sh"
done

# A tree in which it was built, but for the module. Everybody may read it.
tree=$TMP/tree gpu=$TMP/tree/build/gpu
mkdir -p "$tree/tests/gpu" "$gpu" "$TMP/bin"
cp run "$tree/tests/gpu/"
cp ./*-pool-fake libcuda.so.1 "$gpu/"
chmod -R a+rX "$TMP"
gpu_run() { "$tree/tests/gpu/run" --fake --built "$@"; }

# cannot WHY CMD...
cannot() {
	local why=$1
	shift
	"$@" "$tree/tests/gpu/run" --can-load >"$TMP/out" && fail "it can: not '$why'"
	grep -q "cannot load the module ($why" "$TMP/out" || fail "not '$why': $(cat "$TMP/out")"
}
cannot "no headers for $(uname -r)" env
mkdir -p "$tree/build/$(uname -r)"
cp "$KVLIFT_KO" "$tree/build/$(uname -r)/"
cannot "not root" setpriv --reuid=alice --clear-groups
cannot "no CAP_SYS_MODULE" setpriv --bounding-set=-sys_module
printf '#!/bin/sh\necho 6.11.12-amd64\n' >"$TMP/bin/uname"
chmod +x "$TMP/bin/uname"
cannot "it is older" env PATH="$TMP/bin:$PATH"
gpu_run --can-load >"$TMP/out" || fail "$(cat "$TMP/out")"
# Nothing is loaded for an answer.
! grep -q '^kvlift ' /proc/modules || fail "it was loaded"

# nothing_left
nothing_left() {
	! grep -q ' kvlift ' /proc/mounts && ! grep -q '^kvlift ' /proc/modules || fail "something was left behind"
}

# From a window slot, from an ordinary one and from a device, for three sizes.
gpu_run --pools --nvme "$KVLIFT_NVME" --json "$TMP/json" >"$TMP/out" 2>&1 || fail "$(cat "$TMP/out")"
cat "$TMP/out"
nothing_left
python3 - "$TMP/json" <<'PY' || fail "rows: $(cat "$TMP/json")"
import collections, json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
seen = collections.Counter((r["part"], r.get("name", "").strip()) for r in rows)
for part in "pool-64K", "pool-256K", "pool-2M":
    for name in "from the window", "from an ordinary DRAM slot", "from NVMe":
        assert seen[part, name] == 1, (part, name)
    assert seen[part, "one at a time"] == 3, part
assert sum(r["part"] == "step-pool" and r.get("outputs") == "the same" for r in rows) == 2
assert all(not r.get("note") for r in rows), [r for r in rows if r.get("note")]
PY
[ "$(grep -c 'the same$' "$TMP/out")" = 2 ] || fail "the example engine"

# A bit that is wrong is found, and without a device that is said.
KVT_FAKE_BREAK=1 gpu_run --pools --json "$TMP/json" >"$TMP/out" 2>&1 && fail "a wrong bit was not found"
grep -q '^WRONG: 1 words' "$TMP/out" || fail "$(cat "$TMP/out")"
grep -q 'the pool has no device' "$TMP/out" || fail "$(cat "$TMP/out")"
nothing_left

# When it cannot be loaded, or a pool cannot be made, that is a failure.
echo nothing >"$tree/build/$(uname -r)/kvlift.ko"
gpu_run --pools >"$TMP/out" 2>&1 && fail "no module, and no failure"
grep -q 'the kernel refused it' "$TMP/out" || fail "$(cat "$TMP/out")"
cp "$KVLIFT_KO" "$tree/build/$(uname -r)/"
gpu_run --pools --nvme /dev/null >"$TMP/out" 2>&1 && fail "no device, and no failure"
nothing_left
check_clean
