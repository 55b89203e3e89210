// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Its attach() returns what is no error, nor success. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(s32, positive_attach, struct kvlift_ctx *ctx)
{
	return 5;
}

KVLIFT_POLICY(positive, .attach = positive_attach);
