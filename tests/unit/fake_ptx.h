/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Runs PTX, the few instructions of it that the library's kernel has, a thread
 * after the other: so that what is tried where there is no GPU is the very text
 * that a driver gets. Included by one file.
 */
#ifndef FAKE_PTX_H
#define FAKE_PTX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PTX_OPS	   512u
#define PTX_ARGS   6u
#define PTX_NAME   24u
#define PTX_LABELS 64u
/* Registers of each kind: %p, %r, %rd; then the special ones. */
#define PTX_REGS 256u

enum ptx_reg {
	PTX_P = 0,
	PTX_R = PTX_REGS,
	PTX_RD = 2 * PTX_REGS,
	PTX_TID = 3 * PTX_REGS,
	PTX_CTAID,
	PTX_NTID,
	PTX_NCTAID,
	PTX_ALL,
};

enum ptx_code {
	PTX_MOV,
	PTX_ADD,
	PTX_SUB,
	PTX_MUL,
	PTX_DIV,
	PTX_SHL,
	PTX_GE,
	PTX_LT,
	PTX_LD_PARAM,
	PTX_LD,
	PTX_ST,
	PTX_BRA,
	PTX_RET,
};

/* Bytes of the result; registers of a load or store. */
static const struct ptx_kind {
	const char *name;
	enum ptx_code code;
	unsigned int bytes, regs;
} ptx_kinds[] = {
	{ "mov.b64", PTX_MOV, 8, 1 },
	{ "mov.u32", PTX_MOV, 4, 1 },
	{ "cvt.u64.u32", PTX_MOV, 8, 1 },
	{ "cvt.u32.u64", PTX_MOV, 4, 1 },
	{ "add.s64", PTX_ADD, 8, 1 },
	{ "add.s32", PTX_ADD, 4, 1 },
	{ "sub.s32", PTX_SUB, 4, 1 },
	{ "mul.lo.s32", PTX_MUL, 4, 1 },
	{ "mul.wide.u32", PTX_MUL, 8, 1 },
	{ "div.u32", PTX_DIV, 4, 1 },
	{ "shl.b32", PTX_SHL, 4, 1 },
	{ "setp.ge.u32", PTX_GE, 4, 1 },
	{ "setp.lt.u32", PTX_LT, 4, 1 },
	{ "ld.param.u64", PTX_LD_PARAM, 8, 1 },
	{ "ld.param.u32", PTX_LD_PARAM, 4, 1 },
	{ "ld.param.v2.u32", PTX_LD_PARAM, 4, 2 },
	{ "ld.global.cs.v4.u32", PTX_LD, 4, 4 },
	{ "st.global.cs.v4.u32", PTX_ST, 4, 4 },
	{ "bra", PTX_BRA, 0, 0 },
	{ "ret", PTX_RET, 0, 0 },
};

/* @imm is added to what @reg has; PTX_ALL: there is no register. */
struct ptx_arg {
	unsigned int reg;
	uint64_t imm;
};

/* @pred: a register that has to be true, or PTX_ALL. */
struct ptx_op {
	const struct ptx_kind *kind;
	unsigned int pred, target;
	struct ptx_arg arg[PTX_ARGS];
};

/**
 * struct ptx - a kernel
 * @name:	of it
 * @params:	its only parameter
 * @bytes:	of that
 * @threads:	of a thread block at the most
 */
struct ptx {
	char name[64], params[64];
	unsigned int bytes, threads, nr, labels;
	struct ptx_op op[PTX_OPS];
	char to[PTX_OPS][PTX_NAME]; /* the label of a branch */
	struct {
		char name[PTX_NAME];
		unsigned int at;
	} label[PTX_LABELS];
};

/* Memory that the device has at @at, and the host at @host. */
struct ptx_range {
	uint64_t at, bytes;
	char *host;
};

/* What a thread can reach, and has: registers, and where it was last. */
struct ptx_state {
	uint64_t r[PTX_ALL];
	const struct ptx_range *ranges;
	unsigned int nr_ranges, last[2];
};

static unsigned int ptx_reg(const char *name)
{
	static const struct {
		const char *name;
		unsigned int reg;
	} special[] = {
		{ "%tid.x", PTX_TID },
		{ "%ctaid.x", PTX_CTAID },
		{ "%ntid.x", PTX_NTID },
		{ "%nctaid.x", PTX_NCTAID },
	};
	unsigned int i, n;
	char end;

	for (i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (!strcmp(name, special[i].name))
			return special[i].reg;
	if (sscanf(name, "%%rd%u%c", &n, &end) == 1 && n < PTX_REGS)
		return PTX_RD + n;
	if (sscanf(name, "%%r%u%c", &n, &end) == 1 && n < PTX_REGS)
		return PTX_R + n;
	if (sscanf(name, "%%p%u%c", &n, &end) == 1 && n < PTX_REGS)
		return PTX_P + n;
	return PTX_ALL;
}

/* The parameter's own address is 0. */
static bool ptx_parse_args(struct ptx *p, struct ptx_op *op, char *text)
{
	char *save, *part = strtok_r(text, " ,{}[]", &save), *plus;
	struct ptx_arg *a = op->arg;

	for (; part; part = strtok_r(NULL, " ,{}[]", &save), a++) {
		if (a == op->arg + PTX_ARGS)
			return false;
		a->reg = PTX_ALL;
		plus = strchr(part, '+');
		if (plus) {
			*plus = 0;
			a->imm = strtoull(plus + 1, NULL, 0);
		}
		if (*part == '%')
			a->reg = ptx_reg(part);
		else if (*part >= '0' && *part <= '9')
			a->imm = strtoull(part, NULL, 0);
		else if (*part == '$')
			snprintf(p->to[p->nr], PTX_NAME, "%s", part);
		else if (strcmp(part, p->params) != 0)
			return false;
		if (*part == '%' && a->reg == PTX_ALL)
			return false;
	}
	return true;
}

static bool ptx_parse_op(struct ptx *p, char *text)
{
	struct ptx_op *op = &p->op[p->nr];
	char *end = strrchr(text, ';'), *space;
	unsigned int i;

	if (p->nr == PTX_OPS || !end)
		return false;
	*end = 0;
	op->pred = PTX_ALL;
	if (*text == '@') {
		space = strchr(text, ' ');
		if (!space)
			return false;
		*space = 0;
		op->pred = ptx_reg(text + 1);
		if (op->pred == PTX_ALL)
			return false;
		text = space + 1;
	}
	space = text + strcspn(text, " ");
	if (*space)
		*space++ = 0;
	for (i = 0; i < sizeof(ptx_kinds) / sizeof(ptx_kinds[0]); i++)
		if (!strcmp(text, ptx_kinds[i].name))
			op->kind = &ptx_kinds[i];
	if (!op->kind || !ptx_parse_args(p, op, space))
		return false;
	p->nr++;
	return true;
}

static bool ptx_parse_line(struct ptx *p, char *line)
{
	unsigned int n;
	char *colon;

	if (sscanf(line, ".visible .entry %63[a-z_](", p->name) == 1 ||
	    sscanf(line, ".param .align 8 .b8 %63[a-z_0-9][%u]", p->params,
		   &p->bytes) == 2 ||
	    sscanf(line, ".maxntid %u, 1, 1", &p->threads) == 1)
		return true;
	n = (unsigned int)strcspn(line, " ");
	/* CUDA 12.0, the oldest driver that the library takes, has 8.0. */
	if (!strncmp(line, ".version", n))
		return atof(line + n) <= 8.0;
	if (strchr(".{})", *line))
		return true;
	colon = strchr(line, ':');
	if (*line != '$' || !colon)
		return ptx_parse_op(p, line);
	*colon = 0;
	if (p->labels == PTX_LABELS)
		return false;
	snprintf(p->label[p->labels].name, PTX_NAME, "%s", line);
	p->label[p->labels++].at = p->nr;
	return true;
}

static bool ptx_find_labels(struct ptx *p)
{
	unsigned int i, n;

	for (i = 0; i < p->nr; i++) {
		if (p->op[i].kind->code != PTX_BRA)
			continue;
		for (n = 0; n < p->labels; n++)
			if (!strcmp(p->to[i], p->label[n].name))
				break;
		if (n == p->labels)
			return false;
		p->op[i].target = p->label[n].at;
	}
	return p->nr && p->op[p->nr - 1].kind->code == PTX_RET;
}

/* False: there is something in it that is not known here. */
static bool ptx_parse(struct ptx *p, const char *text)
{
	char *copy = strdup(text), *save, *line;
	bool ok = true;

	memset(p, 0, sizeof(*p));
	for (line = strtok_r(copy, "\n", &save); line && ok;
	     line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " ");
		ok = ptx_parse_line(p, line);
		if (!ok)
			fprintf(stderr, "# PTX: not known: %s\n", line);
	}
	free(copy);
	return ok && ptx_find_labels(p);
}

/* The value of an operand. */
static uint64_t ptx_value(const struct ptx_arg *a, const uint64_t *r)
{
	return (a->reg == PTX_ALL ? 0 : r[a->reg]) + a->imm;
}

static uint64_t ptx_compute(enum ptx_code code, uint64_t x, uint64_t y)
{
	switch (code) {
	case PTX_ADD:
		return x + y;
	case PTX_SUB:
		return x - y;
	case PTX_MUL:
		return x * y;
	case PTX_DIV:
		return y ? x / y : UINT32_MAX;
	case PTX_SHL:
		return y < 32 ? x << y : 0;
	case PTX_GE:
		return x >= y;
	case PTX_LT:
		return x < y;
	default:
		return x;
	}
}

static bool ptx_load_param(const struct ptx *p, const struct ptx_op *op,
			   const char *params, uint64_t *r)
{
	const unsigned int regs = op->kind->regs, bytes = op->kind->bytes;
	uint64_t from = ptx_value(&op->arg[regs], r);
	unsigned int i;

	if (from % (regs * bytes) || from + regs * bytes > p->bytes)
		return false;
	for (i = 0; i < regs; i++) {
		r[op->arg[i].reg] = 0;
		memcpy(&r[op->arg[i].reg], params + from + i * bytes, bytes);
	}
	return true;
}

/* Where the host has it; NULL: a fault. */
static char *ptx_find(struct ptx_state *s, unsigned int *last, uint64_t address)
{
	const struct ptx_range *range;
	unsigned int i;

	for (i = 0; i < s->nr_ranges; i++) {
		range = &s->ranges[*last];
		if (address >= range->at &&
		    address + 16 <= range->at + range->bytes)
			return range->host + (address - range->at);
		*last = (*last + 1) % s->nr_ranges;
	}
	return NULL;
}

/* Of 16 bytes, as all of them are. */
static bool ptx_access(const struct ptx_op *op, struct ptx_state *s)
{
	bool is_load = op->kind->code == PTX_LD;
	uint64_t address = ptx_value(&op->arg[is_load ? 4 : 0], s->r);
	const struct ptx_arg *a = &op->arg[is_load ? 0 : 1];
	char *host = address % 16 ? NULL
				  : ptx_find(s, &s->last[is_load], address);
	unsigned int i;
	uint32_t v;

	for (i = 0; i < 4 && host; i++) {
		if (is_load) {
			memcpy(&v, host + 4 * i, 4);
			s->r[a[i].reg] = v;
		} else {
			v = (uint32_t)s->r[a[i].reg];
			memcpy(host + 4 * i, &v, 4);
		}
	}
	return host;
}

static bool ptx_thread(const struct ptx *p, const char *params,
		       struct ptx_state *s)
{
	uint64_t *r = s->r;
	const struct ptx_op *op;
	unsigned int pc = 0;
	uint64_t v;

	for (;;) {
		op = &p->op[pc++];
		if (op->pred != PTX_ALL && !r[op->pred])
			continue;
		switch (op->kind->code) {
		case PTX_RET:
			return true;
		case PTX_BRA:
			pc = op->target;
			break;
		case PTX_LD_PARAM:
			if (!ptx_load_param(p, op, params, r))
				return false;
			break;
		case PTX_LD:
		case PTX_ST:
			if (!ptx_access(op, s))
				return false;
			break;
		default:
			v = ptx_compute(op->kind->code,
					ptx_value(&op->arg[1], r),
					ptx_value(&op->arg[2], r));
			r[op->arg[0].reg] = op->kind->bytes == 4 ? (uint32_t)v
								 : v;
		}
	}
}

/* False: one of the threads did what a device does not. */
static bool ptx_run(const struct ptx *p, const void *params, unsigned int grid,
		    unsigned int threads, const struct ptx_range *ranges,
		    unsigned int nr_ranges)
{
	struct ptx_state s = { .ranges = ranges, .nr_ranges = nr_ranges };
	unsigned int i, n;

	memset(s.r, 0xa5, sizeof(s.r));
	for (i = 0; i < grid; i++)
		for (n = 0; n < threads; n++) {
			s.r[PTX_TID] = n;
			s.r[PTX_CTAID] = i;
			s.r[PTX_NTID] = threads;
			s.r[PTX_NCTAID] = grid;
			if (!ptx_thread(p, params, &s))
				return false;
		}
	return true;
}

#endif
