/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only place with kernel version checks. The floor is 6.12; core files
 * are written for the newest kernel's interfaces where both are possible.
 */
#ifndef KVL_COMPAT_H
#define KVL_COMPAT_H

#include <linux/btf.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#error "kvlift needs Linux 6.12 or newer"
#endif

/* The head of an inode_operations.create; 7.x drops the last argument. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define KVL_CREATE(name)						\
	int name(struct mnt_idmap *idmap, struct inode *dir,		\
		 struct dentry *dentry, umode_t mode)
#else
#define KVL_CREATE(name)						\
	int name(struct mnt_idmap *idmap, struct inode *dir,		\
		 struct dentry *dentry, umode_t mode, bool excl)
#endif

/* Maps a folio by a PMD, since 6.16. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0) && \
	defined(CONFIG_TRANSPARENT_HUGEPAGE)
#define KVL_HAVE_INSERT_FOLIO_PMD
#define kvl_insert_folio_pmd	vmf_insert_folio_pmd
#else
static inline vm_fault_t kvl_insert_folio_pmd(struct vm_fault *vmf,
					      struct folio *folio, bool write)
{
	return VM_FAULT_FALLBACK;
}
#endif

/* The workqueue for what runs anywhere: another name since 6.18. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define kvl_system_wq		system_dfl_wq
#else
#define kvl_system_wq		system_unbound_wq
#endif

/* A name of symbols is a string since 6.13. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define KVL_IMPORT_DMA_BUF	MODULE_IMPORT_NS("DMA_BUF")
#else
#define KVL_IMPORT_DMA_BUF	MODULE_IMPORT_NS(DMA_BUF)
#endif

/* ->mkdir returns a dentry since 6.15. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define KVL_MKDIR_T		struct dentry *
#define KVL_MKDIR_RET(err)	ERR_PTR(err)
#else
#define KVL_MKDIR_T		int
#define KVL_MKDIR_RET(err)	(err)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define kvl_drop_inode		inode_just_drop
#else
#define kvl_drop_inode		generic_delete_inode
#endif

/* Entries of a file system that lives in the dcache stay until unlinked. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define kvl_kill_litter_super	kill_anon_super
static inline void kvl_d_instantiate(struct dentry *dentry,
				     struct inode *inode)
{
	d_make_persistent(dentry, inode);
}
#else
#define kvl_kill_litter_super	kill_litter_super
static inline void kvl_d_instantiate(struct dentry *dentry,
				     struct inode *inode)
{
	d_instantiate(dentry, inode);
	dget(dentry);
}
#endif

/* Pointers that kfuncs get are to be trusted; 7.x knows nothing else. */
#ifdef KF_TRUSTED_ARGS
#define KVL_KF_TRUSTED		KF_TRUSTED_ARGS
#else
#define KVL_KF_TRUSTED		0
#endif

#endif /* KVL_COMPAT_H */
