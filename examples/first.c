// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * usage: first POOL NAME
 * Fill a region and seal it; then, as any program that may read it, open it,
 * have it brought to memory, use it where it is, and say what was used.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <kvlift.h>

#define BLOCKS 16

static void check(int64_t ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, kvlift_strerror((int)ret));
}

int main(int argc, char **argv)
{
	uint64_t used[BLOCKS], sum = 0, i;
	struct kvlift_region *region;
	struct kvlift_pool *pool;
	size_t block, size;
	void *kv;

	if (argc != 3)
		errx(2, "usage: first POOL NAME");
	check(kvlift_pool_open(argv[1], &pool), argv[1]);
	block = kvlift_pool_block_size(pool);
	size = BLOCKS * block;
	check(kvlift_region_create(pool, argv[2], size, 0644, &region),
	      argv[2]);
	check(kvlift_region_map(region, 0, size, PROT_READ | PROT_WRITE, 0,
				&kv),
	      "map");
	memset(kv, 42, size);
	check(kvlift_region_unmap(kv, size), "unmap");
	check(kvlift_seal_file(region, NULL),
	      "seal"); /* now it can be shared */
	kvlift_region_close(region);

	check(kvlift_region_open(pool, argv[2], O_RDONLY, &region), argv[2]);
	check(kvlift_prefetch(region, 0, BLOCKS), "prefetch");
	check(kvlift_region_map(region, 0, size, PROT_READ, 0, &kv), "map");
	for (i = 0; i < BLOCKS; i++) {
		sum += ((unsigned char *)kv)[i * block];
		used[i] = i;
	}
	check(kvlift_touch(region, used, BLOCKS), "touch");
	printf("%d blocks of %zu bytes, sum %d\n", BLOCKS, block, (int)sum);
	check(kvlift_region_unmap(kv, size), "unmap");
	kvlift_region_close(region);
	kvlift_pool_close(pool);
}
