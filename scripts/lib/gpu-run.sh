#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# usage: scripts/lib/gpu-run.sh
#
# The programs of tests/gpu/run over the unit tests' driver, for a guest, where
# they run on real pools. They land in build/gpu-run/gpu/.

set -euo pipefail
# shellcheck source=scripts/lib/common.sh
. "$(dirname "$0")/common.sh"

NVCC='' BUILD=build/gpu-run "$TOP/tests/gpu/run" --fake --build
