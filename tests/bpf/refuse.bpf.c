// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Its attach() says no. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(s32, refuse_attach, struct kvlift_ctx *ctx)
{
	return -ENOTTY;
}

KVLIFT_POLICY(refuse, .attach = refuse_attach);
