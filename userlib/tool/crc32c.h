/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef TOOL_CRC32C_H
#define TOOL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, RFC 3720): "123456789" gives 0xe3069283. */
uint32_t crc32c(const void *data, size_t len);

#endif
