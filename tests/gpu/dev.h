/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What these programs do with a device beside the library: memory, the peers'
 * copies, and looking at every byte. dev_cuda.cu: the real one; dev_fake.c: the
 * unit tests' driver over memory of the host, so that all of the rest is tried
 * where there is no GPU.
 *
 * Functions end the program when the device fails; those that return bool can
 * lack what they are about.
 */
#ifndef KVT_DEV_H
#define KVT_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Two streams, so that both directions can go on at a time. */
enum dev_dir {
	DEV_IN, /* to the device */
	DEV_OUT,
};

/* False: there is no device; why is told. */
bool dev_open(int device);
const char *dev_name(void);
/* Are figures of it of any use? */
bool dev_is_real(void);
/* Bytes that can be allocated. */
uint64_t dev_free_bytes(void);

uint64_t dev_alloc(size_t bytes);
void dev_free(uint64_t at);
/* Memory of the host that the device copies at full speed. */
void *dev_alloc_pinned(size_t bytes);
void dev_free_pinned(void *at, size_t bytes);
/* Registers memory of the host; false: refused. */
bool dev_register(void *at, size_t bytes);
void dev_unregister(void *at);

/* Begins a copy between host and device. */
void dev_copy(enum dev_dir dir, uint64_t device, void *host, size_t bytes);
/* Waits for all that has begun. */
void dev_sync(void);

/* Managed memory, or NULL; begins to bring it to the device, or to the host. */
void *dev_alloc_managed(size_t bytes);
void dev_free_managed(void *at);
bool dev_prefetch(void *at, size_t bytes, enum dev_dir to);

/*
 * Blocks at these addresses, the first of which is block @first: fills them, or
 * counts the words that are wrong. See pattern.h for what word is where. Waits.
 */
void dev_fill(const uint64_t *addrs, uint64_t first, size_t count, size_t block,
	      uint64_t seed);
uint64_t dev_wrong(const uint64_t *addrs, uint64_t first, size_t count,
		   size_t block, uint64_t seed);
/* Something else than any pattern. Waits. */
void dev_poison(uint64_t at, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
