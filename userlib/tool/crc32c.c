// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include "crc32c.h"

/* One bit at a time: it is used on 4 KiB, once per device. */
uint32_t crc32c(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint32_t crc = ~0u;
	int i;

	while (len--) {
		crc ^= *p++;
		for (i = 0; i < 8; i++)
			crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
	}
	return ~crc;
}
