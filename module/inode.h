/* SPDX-License-Identifier: GPL-2.0-only */
/* Names and inodes; file operations live in file.c and fault.c. */
#ifndef KVL_INODE_H
#define KVL_INODE_H

#include <linux/fs.h>

#include "region.h"

int kvl_inode_init(void);
void kvl_inode_exit(void);
struct inode *kvl_inode_alloc(struct super_block *sb);
void kvl_inode_free(struct inode *inode);
void kvl_inode_evict(struct inode *inode);
struct inode *kvl_inode_new(struct mnt_idmap *idmap, struct super_block *sb,
			    struct inode *dir, umode_t mode, dev_t dev);

/* New mtime and ctime, with i_rwsem or, at the end of a mapping, without. */
static inline void kvl_inode_modified(struct inode *inode)
{
	/*
	 * Who looks meanwhile may see seconds and nanoseconds of two moments,
	 * as with file_update_time() from a page fault.
	 */
	data_race(inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode)));
}

/* file.c */
extern const struct file_operations kvl_file_fops;
extern const struct file_operations kvl_dir_fops;
unsigned int kvl_file_ahead(struct file *file, u64 index,
			    unsigned long vm_flags);
u64 kvl_file_demote(struct kvl_region *r, u64 first, u64 last);

/* fault.c */
int kvl_mmap(struct file *file, struct vm_area_struct *vma);
bool kvl_vma_is_ours(struct vm_area_struct *vma, struct kvl_pool *pool);

/* ioctl.c */
long kvl_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* xattr.c */
extern const struct xattr_handler *const kvl_xattr_handlers[];
ssize_t kvl_listxattr(struct dentry *dentry, char *buffer, size_t size);
int kvl_xattr_init_security(struct inode *inode, struct inode *dir,
			    const struct qstr *name);
void kvl_xattr_free(struct kvl_region *r);

#endif /* KVL_INODE_H */
