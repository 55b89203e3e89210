// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where blocks are in the pool in user space. */
#include <stdio.h>
#include <unistd.h>

#include "bench.h"
#include "upool.h"

int place_open(const struct config *c, size_t block, struct kvlift_pool **pool)
{
	char text[4200];

	snprintf(text, sizeof(text), UPOOL_PREFIX "%zu:%llu%s%s", block,
		 (unsigned long long)c->bytes, c->file ? ":" : "",
		 c->file ? c->file : "");
	return kvlift_pool_open(text, pool);
}

bool place_fits(const struct config *c, size_t block)
{
	return true;
}

void place_close(const struct config *c)
{
	if (c->file)
		unlink(c->file);
}

const char *place_lacks(const struct attached *a, enum place place)
{
	return place == PLACE_BELOW && !upool_has_file() ? "no --file" : NULL;
}

const char *place_name(enum place place)
{
	switch (place) {
	case PLACE_WINDOW:
		return "from the window (user space)";
	case PLACE_DRAM:
		return "from ordinary memory (user space)";
	default:
		return upool_is_direct() ? "from a file, O_DIRECT (user space)"
					 : "from a file, cached (user space)";
	}
}

int place_put(struct attached *a, enum place place, uint64_t seed)
{
	static const enum upool_place to[PLACES] = { UPOOL_WINDOW, UPOOL_DRAM,
						     UPOOL_FILE };
	bool is_new = place != PLACE_BELOW || a->below != seed;
	int ret = 0;

	if (is_new)
		ret = upool_put(a->region, 0, a->nr, UPOOL_DRAM);
	if (ret)
		return ret;
	if (is_new)
		host_fill(upool_slot(a->region, 0), 0, a->nr, a->block, seed);
	a->below = place == PLACE_BELOW ? seed : 0;
	ret = upool_put(a->region, 0, a->nr, to[place]);
	if (!ret)
		dev_poison(kvlift_gpu_base(a->gpu), a->nr * a->block);
	return ret;
}

uint32_t place_flags(enum place place)
{
	return 0;
}
