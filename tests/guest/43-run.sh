#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# kvlift run: llama.cpp as it is, with its KV cache in a pool and the same results.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest debug
# needs: llama
# files: build/engines/*
# time: 600
. "$(dirname "$0")/lib.sh"

need_nvme
load
export TMPDIR=$TMP

# A program of any kind, by size; a pool for the run alone; what cannot be.
mkpool 64K 4M - 128M
run kvlift run --pool $MNT --method size --min-size 1M --json "$TMP/json" -- "$KVLIFT_TESTS/bigmem" 4
[ "$(json "$TMP/json" 'd["placed"]')" -ge 6 ] || fail "$(cat "$TMP/json")"
[ "$(json "$TMP/json" 'd["demoted"]')" -gt 0 ] || fail "nothing moved: $(cat "$TMP/json")"
expect_used 0
[ -z "$(ls -A $MNT)" ] || fail "left over: $(ls -A $MNT)"
run kvlift run --pool $MNT --min-size 1G -- "$KVLIFT_TESTS/bigmem" 4 2>"$TMP/err"
grep -q 'nothing was placed' "$TMP/err" || fail "$(cat "$TMP/err")"
kvlift run --pool $MNT --method size --min-size 1M -- "$KVLIFT_TESTS/bigmem" 60 >/dev/null 2>"$TMP/err" || fail "more than the pool holds: $(cat "$TMP/err")"
grep -q 'found no room' "$TMP/err" || fail "$(cat "$TMP/err")"
kvlift run --pool $MNT --method size -- sh -c 'exit 7'
[ $? = 7 ] || fail "the exit status of the command"
kvlift run --pool $MNT --method size -- sh -c 'kill -9 $$'
[ $? = 137 ] || fail "the signal of the command"
kvlift run --pool $MNT -- no-such-command 2>"$TMP/err" && fail "no-such-command"
grep -q 'no such command' "$TMP/err" || fail "$(cat "$TMP/err")"
kvlift run --pool /tmp -- true 2>"$TMP/err" && fail "/tmp is no pool"
grep -q 'not in a kvlift pool' "$TMP/err" || fail "$(cat "$TMP/err")"
kvlift run -- true 2>/dev/null && fail "no pool"
kvlift run --pool $MNT 2>/dev/null && fail "no command"
busybox=$(command -v busybox)
if [ -n "$busybox" ] && ! ldd "$busybox" >/dev/null 2>&1; then
	kvlift run --pool $MNT -- "$busybox" true 2>"$TMP/err" && fail "a static program"
	grep -q 'linked statically' "$TMP/err" || fail "$(cat "$TMP/err")"
fi
# What a run that was killed has left the next one removes.
kvlift run --pool $MNT --method size -- sleep 60 &
until_true 10 eval "ls -d $MNT/run.* >/dev/null 2>&1"
kill -9 $!
wait $! 2>/dev/null
pkill sleep
run kvlift run --pool $MNT --method size -- true 2>/dev/null
[ -z "$(ls -A $MNT)" ] || fail "a run that was killed left $(ls -A $MNT)"
run kvlift run --pool $MNT --method size --min-size 1M --keep -- "$KVLIFT_TESTS/bigmem" 2
ls -d $MNT/run.*/ >/dev/null || fail "--keep"
rm -r $MNT/run.*
umount_pool
need_mod loop
run kvlift run --dram 4M --nvme 64M --block 64K --method size --min-size 1M -- "$KVLIFT_TESTS/bigmem" 4
! grep -q ' kvlift ' /proc/mounts || fail "the pool of a run is still mounted"

cd /job || fail "no /job"
if [ ! -e llama_kv ]; then
	check_clean
	skip "no llama.cpp here: scripts/lib/llama.sh builds it"
fi
a="-c 256 -s 4 -p"
# Where the heap begins is random, and so is how much of it gets huge pages: without
# them what the program has of its own is the same in each run, give or take a page.
echo never >/sys/kernel/mm/transparent_hugepage/enabled
# The KV cache has 2 MiB.
run ./llama_kv $a >"$TMP/plain" 2>"$TMP/plain.err"
own() { sed -n 's/^own[^0-9]*\([0-9]*\).*/\1/p' "$1"; }
mkpool 16K 512K - 64M
# llama METHOD OPTIONS-OF-RUN ... -- OPTIONS-OF-LLAMA_KV
llama() {
	local method=$1 opts=() n
	shift
	while [ "$1" != -- ]; do opts+=("$1") && shift; done
	shift
	kvlift run --pool $MNT --json "$TMP/json" "${opts[@]}" -- ./llama_kv "$@" >"$TMP/out" 2>"$TMP/err" ||
		fail "$method: $(tail -n 5 "$TMP/err")"
	[ "$(json "$TMP/json" 'd["method"]')" = "$method" ] || fail "by $(json "$TMP/json" 'd["method"]'), not $method"
	diff "$TMP/plain" "$TMP/out" >/dev/null || fail "$method: $(diff "$TMP/plain" "$TMP/out" | head -n 5)"
	n=$(json "$TMP/json" 'd["peak_bytes"]')
	[ "$n" -ge $((2 << 20)) ] || fail "$method: $n bytes placed"
	[ "$method" = size ] || [ "$n" -le $(((2 << 20) + 16384)) ] || fail "$method: more than the KV cache: $n bytes"
	[ "$(json "$TMP/json" 'd["demoted"]')" -gt 0 ] || fail "$method: nothing moved"
	# Of its own it has less: by the cache, give or take what malloc keeps.
	n=$(($(own "$TMP/plain.err") - $(own "$TMP/err")))
	[ $n -ge 1024 ] || fail "$method: $n KiB less of its own"
	say "$method: $(json "$TMP/json" '"%d blocks up, %d down, %d faults" % (d["promoted"], d["demoted"], d["faults"])'), $n KiB less of its own"
	expect_used 0
}
llama preload --method preload -- $a
# Its own backends are loaded, so that it takes the least invasive way by itself.
llama ggml -- $a -l
llama size --method size --min-size 1M -- $a

# One of its tools, where it was built.
if [ -e llama-bench ]; then
	run ./llama_kv -o "$TMP/model.gguf" 2>/dev/null
	LD_LIBRARY_PATH=/job:$LD_LIBRARY_PATH run kvlift run --pool $MNT --json "$TMP/json" -- \
		./llama-bench -m "$TMP/model.gguf" -p 32 -n 4 -r 1 -d 512 >"$TMP/out" 2>"$TMP/err"
	[ "$(json "$TMP/json" 'd["method"]')" = ggml ] || fail "llama-bench by $(json "$TMP/json" 'd["method"]')"
	[ "$(json "$TMP/json" 'd["placed"]')" -gt 0 ] || fail "llama-bench: $(cat "$TMP/json")"
	say "llama-bench: $(json "$TMP/json" '"%d bytes in %d buffers" % (d["placed_bytes"], d["placed"])')"
	expect_used 0
fi

# Slots that are saved to files of a pool: no more than a path.
umount_pool
mkpool 16K 512K 512K 64M
mkdir $MNT/slots
run ./llama_kv $a -d "$TMP" >"$TMP/plain" 2>/dev/null
run ./llama_kv $a -d $MNT/slots >"$TMP/out" 2>/dev/null
diff "$TMP/plain" "$TMP/out" >/dev/null || fail "slots: $(diff "$TMP/plain" "$TMP/out" | head -n 5)"
kvlift status $MNT --json >"$TMP/status" || fail status
for t in dram cxl nvme; do
	[ "$(json "$TMP/status" "d['pools'][0]['tiers']['$t']['used']")" -gt 0 ] || fail "nothing in $t: $(cat "$TMP/status")"
done
rm -r $MNT/slots
expect_used 0
check_clean
