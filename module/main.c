// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>

#include "advise.h"
#include "inode.h"
#include "memerr.h"
#include "move.h"
#include "msg.h"
#include "params.h"
#include "stats.h"

bool kvl_param_unsafe_skip_dirty;
module_param_named(unsafe_skip_dirty, kvl_param_unsafe_skip_dirty, bool, 0444);
bool kvl_param_move_stop;
module_param_named(move_stop, kvl_param_move_stop, bool, 0644);
MODULE_PARM_DESC(move_stop,
		 "stop the users of every block while it is copied (for comparisons)");
unsigned int kvl_param_fail_copy;
module_param_named(fail_copy, kvl_param_fail_copy, uint, 0644);
MODULE_PARM_DESC(fail_copy,
		 "the copy between memories, counted from now, that finds a memory error (for tests)");
bool kvl_param_lose_reports;
module_param_named(lose_reports, kvl_param_lose_reports, bool, 0644);
MODULE_PARM_DESC(lose_reports,
		 "lose the reports of memory errors, as if there were too many (for tests)");
bool kvl_param_builtin_lru;
module_param_named(builtin_lru, kvl_param_builtin_lru, bool, 0444);
MODULE_PARM_DESC(builtin_lru,
		 "the built-in policy is plain LRU (for comparisons)");
MODULE_PARM_DESC(unsafe_skip_dirty,
		 "LOSES DATA: take every block with a shadow as clean (negative control of the tests)");

/* Policies can only be attached to a module with BTF. */
bool kvl_has_btf(void)
{
#ifdef CONFIG_DEBUG_INFO_BTF_MODULES
	return THIS_MODULE->btf_data_size;
#else
	return false;
#endif
}

static int __init kvlift_init(void)
{
	int err;

	kvl_block_init();
	err = kvl_stats_init();
	if (err)
		return err;
	err = kvl_move_init();
	if (err)
		goto exit_stats;
	err = kvl_inode_init();
	if (err)
		goto exit_move;
	err = kvl_pressure_init();
	if (err)
		goto exit_inode;
	kvl_memerr_init();
	kvl_advise_init();
	err = kvl_policy_bpf_init();
	if (err)
		goto exit_memerr;
	err = kvl_super_register();
	if (err)
		goto exit_memerr;
	if (kvl_param_unsafe_skip_dirty)
		pr_warn("unsafe_skip_dirty is set: writes will be lost\n");
	return 0;

exit_memerr:
	kvl_memerr_exit();
	kvl_pressure_exit();
exit_inode:
	kvl_inode_exit();
exit_move:
	kvl_move_exit();
exit_stats:
	kvl_stats_exit();
	return err;
}

static void __exit kvlift_exit(void)
{
	kvl_super_unregister();
	kvl_memerr_exit();
	kvl_pressure_exit();
	kvl_inode_exit();
	kvl_move_exit();
	kvl_stats_exit();
}

module_init(kvlift_init);
module_exit(kvlift_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("The kvlift authors");
MODULE_DESCRIPTION("A filesystem for KV caches whose blocks move between memory tiers");
MODULE_VERSION("0.1.0");
