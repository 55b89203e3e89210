#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# usage: ptx.sh >src/gpu_cuda_ptx.c
# The copy kernel as text that a driver translates for its device: nvcc's, for the
# oldest instruction set and device that will do, and without the pragmas of newer
# ones. The same release of nvcc gives the same.
set -e
src=$(dirname "$0")/src
nvcc=${NVCC:-nvcc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$nvcc" -ptx -O3 -arch=compute_75 "$src/gpu_cuda_kernel.cu" -o "$tmp/ptx"
release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
cat <<EOF
// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Made from gpu_cuda_kernel.cu by "make ptx", with nvcc $release. */
#include "gpu_cuda.h"

const char kvl_cu_ptx[] =
EOF
sed -e 's,//.*,,' -e '/\.pragma/d' -e 's/^\.version .*/.version 7.0/' -e 's/^\.target .*/.target sm_70/' \
	-e 's/[[:space:]]\{1,\}/ /g' -e 's/ $//' "$tmp/ptx" |
	sed -e '/^$/d' -e 's/.*/\t"&\\n"/' | sed '$s/$/;/'
