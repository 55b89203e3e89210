// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Names for numbers. */
#include <string.h>

#include "internal.h"

#define STR_(x) #x
#define STR(x)	STR_(x)

const char *kvlift_version(void)
{
	return STR(KVLIFT_VERSION_MAJOR) "." STR(KVLIFT_VERSION_MINOR) "." STR(
		KVLIFT_VERSION_PATCH);
}

const char *kvlift_tier_name(unsigned int tier)
{
	static const char *const names[KVLIFT_NR_TIERS] = {
		[KVLIFT_TIER_GPU] = "gpu",
		[KVLIFT_TIER_DRAM] = "dram",
		[KVLIFT_TIER_CXL] = "cxl",
		[KVLIFT_TIER_NVME] = "nvme",
	};

	return tier < KVLIFT_NR_TIERS ? names[tier] : "?";
}

const char *kvlift_strerror(int err)
{
	const char *text;

	if (err < 0 && err != INT32_MIN)
		err = -err;
	switch (err) {
	case EMEDIUMTYPE:
		return "Not on a kvlift filesystem";
	case EPROTO:
		return "The loaded module and this library speak different versions of the interface";
	case ENOTTY:
		return "The module does not know this command, or not for this kind of file";
	case ENOSPC:
		return "No free block in any tier of the pool";
	case EDQUOT:
		return "The limit of the directory's domain is reached";
	}
	text = strerrordesc_np(err);
	return text ? text : "Unknown error";
}
