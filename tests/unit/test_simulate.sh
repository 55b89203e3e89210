#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# kvlift simulate as it is called: figures, JSON, picture, messages.
rc=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
say() { echo "not ok - $*"; rc=1; }
sim() { "$B/kvlift" simulate "$@"; }

# refused STATUS WORDS ARGS...: fails so, names that, prints nothing else.
refused() {
	want=$1 words=$2
	shift 2
	sim "$@" >out 2>err
	got=$?
	[ $got = "$want" ] || say "simulate $*: status $got, not $want"
	grep -qF -- "$words" err || say "simulate $*: no '$words' in: $(cat err)"
	[ ! -s out ] || say "simulate $*: output in spite of the error"
}

cat >t.jsonl <<'EOF'
{"timestamp":0,"input_length":1000,"hash_ids":[1,2],"session":0,"turn":0}
{"timestamp":900,"input_length":1000,"hash_ids":[1,2],"session":0,"turn":1}
{"timestamp":1900,"input_length":1500,"hash_ids":[1,2,3,4],"session":0,"turn":2}
EOF

# 8 references: 1 2 fill, hit, hit and 3 4 fill.
sim t.jsonl --cache 50%,4 --policy lru,opt --block 1M --json >out || say "status $?"
sed 's/,"refs_per_s":[0-9.e+]*}/}/g' out >got
cat >want <<'EOF'
[{"policy":"lru","cache":"50%","cache_blocks":2,"block_hit":0.5,"prefix_hit":0.5,"gap_closed":null,"requests":3,"refs":8,"fills":4,"evictions":2,"bypassed":0,"fills_per_request":1.33333333,"batch":1,"block":1048576,"bytes_filled":4194304,"atomic":false,"hints":"none"},{"policy":"lru","cache":"4","cache_blocks":4,"block_hit":0.5,"prefix_hit":0.5,"gap_closed":null,"requests":3,"refs":8,"fills":4,"evictions":0,"bypassed":0,"fills_per_request":1.33333333,"batch":1,"block":1048576,"bytes_filled":4194304,"atomic":false,"hints":"none"},{"policy":"opt","cache":"50%","cache_blocks":2,"block_hit":0.5,"prefix_hit":0.5,"gap_closed":null,"requests":3,"refs":8,"fills":2,"evictions":0,"bypassed":2,"fills_per_request":0.666666667,"batch":1,"block":1048576,"bytes_filled":2097152,"atomic":false,"hints":"none"},{"policy":"opt","cache":"4","cache_blocks":4,"block_hit":0.5,"prefix_hit":0.5,"gap_closed":null,"requests":3,"refs":8,"fills":2,"evictions":0,"bypassed":2,"fills_per_request":0.666666667,"batch":1,"block":1048576,"bytes_filled":2097152,"atomic":false,"hints":"none"}]
EOF
cmp -s got want || say "JSON is $(cat got)"
sim t.jsonl --requests 2 --policy lru --cache 100% --json | grep -q '"requests":2,"refs":4,' || say "--requests"
sim - --policy lru --cache 1 --json <t.jsonl | grep -q '"refs":8' || say "standard input"
# 6.5 of 13 blocks is 7, not 6.
sim - --policy lru --cache 50% --json <<'EOF' | grep -q '"cache_blocks":7' || say "a share is rounded"
{"hash_ids":[1,2,3,4,5,6,7,8,9,10,11,12,13]}
EOF
# A scan through one block: lru hits nothing, opt all but two, fifo as lru.
printf '{"hash_ids":[%s]}\n' 1 2 1 3 1 4 1 >scan.jsonl
sim scan.jsonl --cache 1,2 --policy fifo,lru,opt --json >out
for want in '"fifo","cache":"1",.*"gap_closed":0,' '"opt","cache":"1",.*"gap_closed":1,' '"lru","cache":"2",.*"gap_closed":null,'; do
	tr '{' '\n' <out | grep -q "$want" || say "no $want in $(cat out)"
done
sim scan.jsonl --cache 1,2 --policy fifo,lru,opt >out
grep -q '^  opt  *100.0  *-$' out || say "no way from lru to opt"
sim scan.jsonl --cache 1 --policy lru | grep -q 'way from' && say "a way from lru to nowhere"

# b and a are pushed down by c, and found in cxl and on nvme.
cat >u.jsonl <<'EOF'
{"hash_ids":[1]}
{"hash_ids":[2]}
{"hash_ids":[3]}
{"hash_ids":[2]}
{"hash_ids":[1]}
EOF
sim u.jsonl --tiers dram=1,cxl=1,nvme --policy lru --block 1K --json >out || say "--tiers: status $?"
sed 's/.*"tiers"/"tiers"/; s/}]$//' out >got
cat >want <<'EOF'
"tiers":[{"tier":"dram","blocks":1,"used":1,"block_hit":0,"prefix_hit":0},{"tier":"cxl","blocks":1,"used":1,"block_hit":0.2,"prefix_hit":0.2},{"tier":"nvme","blocks":null,"used":1,"block_hit":0.2,"prefix_hit":0.2}],"absent":0.6,"links":[{"from":"dram","to":"cxl","moves":4,"bytes":4096},{"from":"cxl","to":"dram","moves":1,"bytes":1024},{"from":"cxl","to":"nvme","moves":2,"bytes":2048},{"from":"nvme","to":"dram","moves":1,"bytes":1024},{"from":"engine","to":"dram","moves":3,"bytes":3072}],"moves_without_io":0,"dropped":0,"ahead":false,"stored_ahead":0,"bytes_stored_ahead":0,"copies":1,"copies_dropped":0
EOF
cmp -s got want || say "JSON of tiers is $(cat got)"
sim u.jsonl --tiers dram=1,cxl=1,nvme --ahead --policy lru --json >out
for want in '"from":"cxl","to":"nvme","moves":2,"bytes":0' '"moves_without_io":2,' '"stored_ahead":3,'; do
	grep -q "$want" out || say "--ahead: no $want in $(cat out)"
done
sim u.jsonl --tiers nvme=1 --cache 1,3 --policy lru --json | grep -q '"dropped":[1-9].*"dropped":0,' || say "nvme of one block"
sim u.jsonl --tiers dram=1,cxl=1,nvme --policy lru,opt --block 1K >out || say "--tiers: status $?"
for want in '^ *0.2000  cxl$' '^  lru  *3K  engine -> dram$' '^ *4K  dram -> cxl$' '^  nvme  *unlimited$'; do
	grep -q "$want" out || say "no row '$want' in $(cat out)"
done

sim t.jsonl --atomic --cache 2 --json | grep -o '"atomic":true' | grep -c . >out
[ "$(cat out)" = 4 ] || say "--atomic"

for h in true random shuffled; do
	sim t.jsonl --cache 2 --policy gittins --hints $h --json | grep -q "\"hints\":\"$h\"" || say "--hints $h"
done

sim t.jsonl --cache 2 >out || say "table: status $?"
names=$(sim --help | sed '1,/^Policies:/d' | awk '{ print $1 }')
[ "$(echo $names | wc -w)" -ge 7 ] || say "policies in the help: $names"
for p in $names; do
	[ "$(grep -c "^  $p " out)" -ge 3 ] || say "no three rows of $p"
	grep -qw "$p" "$TOP/userlib/man/kvlift-simulate.1" || say "$p is not in the man page"
done
sim t.jsonl --cache 2 --verbose --policy lru | grep -q 'per second' || say "--verbose"

sim --generate agent --requests 40 --seed 3 --plot p.svg >a || say "--plot"
sim --generate agent --requests 40 --seed 3 >b
cmp -s a b || say "the same seed, other figures"
[ "$(grep -c '<polyline' p.svg)" = "$(echo $names | wc -w)" ] || say "not a line per policy"
grep -q '>prefix hit rate<' p.svg || say "no label"
sim t.jsonl --cache 2,2 --policy lru --plot one.svg >out || say "--plot of one size"
grep -q 'points="327.0,' one.svg || say "one size is not in the middle"
# Every coordinate is inside the picture.
sed -n 's/.*points="\(.*\)".*/\1/p' p.svg | tr ' ' '\n' |
	awk -F, '$1 < 64 || $1 > 590 || $2 < 48 || $2 > 380 { bad = 1 } END { exit bad || !NR }' ||
	say "a line leaves the plot"

# The target of 10^6 references per second of CPU time: every cell, with tiers too.
for kind in agent chat; do
	sim --generate $kind --requests 4000 --cache 1%,10% --tiers cxl=10%,nvme=50% --json |
		tr '{' '\n' | sed -n 's/"policy":"\([a-z0-9]*\)".*"refs_per_s":\([0-9]*\).*/\1 \2/p' >speed
	awk -v n="$(echo $names | wc -w)" '$2 < 1000000 { bad = 1 } END { exit bad || NR != 2 * n }' speed ||
		say "too slow on $kind: $(cat speed)"
done

refused 2 'no such policy; there are lru, fifo, s3fifo, arc, lfu, leaf, prefix, gittins, opt, simple' t.jsonl --policy lru,clock
refused 2 'no such policy' t.jsonl --policy ''
refused 2 'no such policy' t.jsonl --policy lru,
refused 2 'stands twice' t.jsonl --policy lru,lru
refused 2 'a cache of 0 blocks; the trace has 4 distinct ones, so give 25% or more' t.jsonl --cache 1%
refused 2 'a cache of 0 blocks; the trace has 4' t.jsonl --cache 0
for s in 101% -5% 5%% x 1.5 '' 0x5% nan% '5%,,'; do
	refused 2 '--cache' t.jsonl --cache "$s"
done
refused 2 'lru does not evict the ends of chains first' t.jsonl --atomic --policy leaf,lru
refused 2 '--requests 0' t.jsonl --requests 0
refused 2 '--hints false: true, random or shuffled' t.jsonl --hints false
refused 2 '--batch 0' t.jsonl --batch 0
refused 2 '--block 0' t.jsonl --block 0
for l in nvme,cxl=1 cxl=1,cxl=2 disk '' 'dram,'; do
	refused 2 'dram, cxl and nvme are the tiers, in that order' t.jsonl --tiers "$l"
done
refused 2 'none below dram' t.jsonl --tiers dram=1
refused 2 'cxl needs a size' t.jsonl --tiers cxl
refused 2 'dram has a size, and so has --cache' t.jsonl --tiers dram=1,nvme --cache 1
refused 2 '--tiers 1x: neither' t.jsonl --tiers cxl=1x
refused 2 '--tiers 0: a cache of 0 blocks' t.jsonl --tiers dram=1,nvme=0
refused 2 '--ahead: there is no nvme' t.jsonl --ahead
refused 2 '--ahead: there is no nvme' t.jsonl --tiers cxl=1 --ahead
refused 2 'exclude each other' t.jsonl --generate chat
refused 2 'more than one trace' t.jsonl t.jsonl
refused 1 'none.jsonl: No such file' none.jsonl
echo '{"hash_ids":[1]' >bad.jsonl
refused 1 'line 1, column 16' bad.jsonl
refused 1 'no request in it' /dev/null
echo '{"hash_ids":[]}' >empty.jsonl
refused 1 'no block in it' empty.jsonl
refused 1 'nodir/p.svg' t.jsonl --cache 2 --plot nodir/p.svg
# Not a forest: per-block policies take it, leaf says what is wrong.
printf '{"hash_ids":[1,2]}\n{"hash_ids":[3,2]}\n' >graph.jsonl
sim graph.jsonl --cache 2 --policy lru,opt >/dev/null || say "per block needs no chains"
refused 1 'request 2: its block 2 of 2 stood behind another one' graph.jsonl --cache 2 --policy leaf

# A policy of one's own, built as docs/policies.md says.
sed 's/simple/mine/g' "$TOP/bpf/simple.bpf.c" >mine.bpf.c
cc -O2 -shared -fPIC -I "$TOP/bpf/include" -I "$TOP/module/uapi" mine.bpf.c -o mine.so || say "mine.so does not build"
sim --generate agent --cache 5%,10% --policy simple,./mine.so --json >out || say "status $? with mine.so"
[ "$(tr '{' '\n' <out | grep -c '"mine"')" = 2 ] || say "mine.so: $(cat out)"
rates() { tr '{' '\n' <out | grep "\"$1\"" | sed 's/.*\("cache":.*\),"gap_closed.*/\1/'; }
[ "$(rates mine)" = "$(rates simple)" ] || say "mine.so is not as simple: $(cat out)"
cc -shared -fPIC -I "$TOP/bpf/include" -I "$TOP/module/uapi" "$TOP/bpf/lru.bpf.c" -o lru.so || say "lru.so does not build"
refused 2 'there is a policy lru already' t.jsonl --policy ./lru.so
refused 2 'No such file' t.jsonl --policy ./none.so
echo 'int x;' >x.c && cc -shared -fPIC x.c -o x.so
refused 2 'no KVLIFT_POLICY() in it' t.jsonl --policy ./x.so

[ $rc = 0 ] && echo "ok - simulate"
exit $rc
