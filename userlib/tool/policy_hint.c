// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The kernel refuses what a policy must not do; in words that name numbers, or
 * with no words. Here is what is likely meant.
 */
#include "policy_verb.h"

#ifdef HAVE_LIBBPF
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bpfobj.h"

/* Opcodes that only newer headers know. */
#define OP_CALL	    0x85
#define OP_MAY_GOTO 0xe5

static const struct {
	const char *words, *hint;
} said[] = {
	{ "processed 1000001 insns",
	  "the verifier gave up after a million instructions; put loops with many rounds into kvlift_for(), which it looks at once" },
	{ "BPF program is too large",
	  "the verifier gave up after a million instructions; put loops with many rounds into kvlift_for(), which it looks at once" },
	{ "infinite loop detected",
	  "the end of a loop cannot be seen; kvlift_for() may be used for any number of rounds" },
	{ "jumps is too complex",
	  "too many ways through the program; kvlift_for() is looked at once, however many rounds it makes" },
	{ "is not allowed",
	  "not every function is there for every program; bpf/include/kvlift/policy.h lists those for policies" },
	{ "program of this type cannot use helper",
	  "policies have the functions of bpf/include/kvlift/policy.h and few helpers" },
	{ "unknown func",
	  "policies have the functions of bpf/include/kvlift/policy.h and few helpers" },
	{ "invalid mem access 'mem_or_null'",
	  "kvlift_storage() and maps may answer NULL: compare before use" },
	{ "invalid mem access 'map_value_or_null'",
	  "kvlift_storage() and maps may answer NULL: compare before use" },
	{ "is not found in kernel BTF",
	  "the module has no BTF, or knows another interface; is it of the same version as this tool?" },
	{ "failed to find BTF info for struct/union member",
	  "the module knows another interface; is it of the same version as this tool?" },
};

static void hint(const char *where, const char *text)
{
	fprintf(stderr, "hint: %s%s%s\n", where ? where : "", where ? ": " : "",
		text);
}

static bool calls(const struct bpf_program *prog, int helper)
{
	const struct bpf_insn *in = bpf_program__insns(prog);
	size_t i, n = bpf_program__insn_cnt(prog);

	for (i = 0; in && i < n; i++)
		if (in[i].code == OP_CALL && !in[i].src_reg &&
		    in[i].imm == helper)
			return true;
	return false;
}

static bool may_goto(const struct bpf_program *prog)
{
	const struct bpf_insn *in = bpf_program__insns(prog);
	size_t i, n = bpf_program__insn_cnt(prog);

	for (i = 0; in && i < n; i++)
		if (in[i].code == OP_MAY_GOTO)
			return true;
	return false;
}

static bool names_function(struct bpf_object *obj, const char *name)
{
	const struct btf *btf = bpf_object__btf(obj);

	return btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

static void hints_of_prog(const struct bpf_program *prog)
{
	const char *name = bpf_program__name(prog);

	if (!strncmp(bpf_program__section_name(prog), "struct_ops.s", 12))
		hint(name,
		     "a callback may not sleep: its section is struct_ops/, not struct_ops.s/");
	if (calls(prog, BPF_FUNC_loop))
		hint(name,
		     "bpf_loop() is refused, since nothing stops it; use kvlift_for(), which ends when the callback has used up its time");
	if (may_goto(prog))
		hint(name,
		     "may_goto (cond_break, can_loop) is refused; use kvlift_for(), which ends when the callback has used up its time");
}

void policy_hints(struct bpf_object *obj)
{
	const char *text = bpfobj_said(), *last = NULL;
	struct bpf_program *prog;
	size_t i;

	/* Without them the kernel's and the module's types are not to be seen. */
	if (geteuid() != 0) {
		hint(NULL,
		     "policies are loaded by root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN");
		return;
	}
	bpf_object__for_each_program(prog, obj) hints_of_prog(prog);
	if (names_function(obj, "bpf_iter_num_new"))
		hint(NULL,
		     "bpf_for() and bpf_repeat() are refused, since nothing stops them; use kvlift_for(), which ends when the callback has used up its time");
	for (i = 0; text && i < sizeof(said) / sizeof(*said); i++) {
		if (!strstr(text, said[i].words) || said[i].hint == last)
			continue;
		last = said[i].hint;
		hint(NULL, last);
	}
}

#else

void policy_hints(struct bpf_object *obj)
{
}

#endif
