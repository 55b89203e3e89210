/* SPDX-License-Identifier: GPL-2.0-only */
/* Policies of the module. */
#ifndef KVL_POLICY_OPS_H
#define KVL_POLICY_OPS_H

#include <linux/kvlift_policy.h>
#include <linux/types.h>

/**
 * struct kvlift_builtin - a policy of the module
 * @ops:	its callbacks
 * @state_size:	bytes of an instance (kvl_advise_state()); NULL: none
 */
struct kvlift_builtin {
	struct kvlift_policy_ops ops;
	const u32 *state_size;
};

#endif /* KVL_POLICY_OPS_H */
