#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# The copy kernel's text in the library is what nvcc makes of its source, and can be
# translated for every device that ptxas knows and that is not older than the text is
# for. What it copies: test_gpu_kernel.c.
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)
[ -n "$nvcc" ] || { echo "no nvcc"; exit 77; }
ptxas=$(dirname "$nvcc")/ptxas
src=$TOP/userlib/src
rc=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
printf '#include <stdio.h>\n#include "%s"\nint main(void) { return fputs(kvl_cu_ptx, stdout) < 0; }\n' "$src/gpu_cuda_ptx.c" >"$tmp/print.c"
${CC:-cc} -D_GNU_SOURCE -I"$TOP/module/uapi" -I"$TOP/userlib/include" "$tmp/print.c" -o "$tmp/print" || exit 1
"$tmp/print" >"$tmp/ptx"
# Before CUDA 13 nvcc lists older ones, too.
oldest=$(sed -n 's/^\.target sm_//p' "$tmp/ptx")
codes=$("$nvcc" --list-gpu-code | sed -n 's/^sm_//p' | while read -r code; do
	[ "${code%%[!0-9]*}" -lt "$oldest" ] || echo "sm_$code"
done)
for code in $codes; do
	"$ptxas" -arch="$code" "$tmp/ptx" -o "$tmp/cubin" || { echo "not ok - it cannot be translated for $code"; rc=1; }
done
[ -s "$tmp/cubin" ] || { echo "not ok - nothing was translated"; rc=1; }
sed 's/st\.global/st.nowhere/' "$tmp/ptx" >"$tmp/bad"
! "$ptxas" -arch="$(echo "$codes" | head -n 1)" "$tmp/bad" -o "$tmp/cubin" 2>/dev/null || { echo "not ok - ptxas takes anything"; rc=1; }
# Another release may choose other instructions.
release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
same=" by nvcc $release"
if grep -q "with nvcc $release\\." "$src/gpu_cuda_ptx.c"; then
	NVCC=$nvcc sh "$TOP/userlib/ptx.sh" | diff -u "$src/gpu_cuda_ptx.c" - ||
		{ echo "not ok - gpu_cuda_ptx.c is not of gpu_cuda_kernel.cu: make ptx"; rc=1; }
else
	same=" (not compared: nvcc $release)"
fi
# shellcheck disable=SC2086
[ $rc = 0 ] && echo "ok - for $(echo $codes)$same"
exit $rc
