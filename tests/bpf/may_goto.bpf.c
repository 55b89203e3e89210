// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Refused: may_goto, 8 million rounds; as code, since clang 14 has no name for
 * it. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(void, may_goto_victims, struct kvlift_ctx *ctx, u32 want)
{
	u64 x = want;

	asm volatile("%[x] += 1;"
		     ".byte 0xe5; .byte 0; .short 1; .long 0;"
		     "goto -3;"
		     : [x] "+r"(x));
}

KVLIFT_POLICY(may_goto, .victims = may_goto_victims);
